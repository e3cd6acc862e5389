"""Scale-space auto-encoders (Baur et al. 2020): one for each band of a pyramid."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from uad_jax.method import Batch, Method, Objective
from uad_jax.nets import baur2021
from uad_jax.nets.baur2021 import StudyAutoEncoder
from uad_jax.nets.layers import grid_sizes
from uad_jax.nets.layers.dropout import apply, check_bayesian
from uad_jax.ops import laplacian_pyramid, losses


def make(
  shape: tuple[int, ...],
  channels: int = 1,
  levels: int = 3,
  widths: Sequence[int] = (32, 64),
  band_widths: Sequence[int] = (16, 32, 32),
  latent: int = 128,
  bottleneck: str = 'dense',
  dropout: float = 0.0,
  bayesian: bool = False,
) -> Method:
  """L = sum_i sum |L_i - f_i(L_i)| over the brain, L_i the bands of a pyramid.

  Baur et al., "Scale-space autoencoders for unsupervised anomaly segmentation in brain
  MRI", MICCAI 2020. L_i = x_i - up(x_{i+1}), x_{i+1} = down(x_i); the last band is the
  coarsest image. Each has an auto-encoder f_i of its own: spatial ones for the fine
  bands, a dense (or spatial) one for the coarsest. The reconstruction is the pyramid of
  the f_i(L_i) put together. `scale_residual` is the mean over the bands of
  |L_i - f_i(L_i)|, each brought to the image's grid, for the score 'output'.

  Sums are over a scan's voxels, those of coarse grids weighted by the share of brain in
  them; means are over the scans, padded examples count nowhere. Departing from the
  paper, whose networks differ: those of Baur et al. 2021.

  Args:
    shape: Spatial shape of the images; the grid of each band must halve for each width.
    channels: Number of contrasts.
    levels: Number of bands, the coarsest image included.
    widths: Of the coarsest image's encoder, one a halving of the grid.
    band_widths: Of the other bands' encoders.
    latent: Values of a dense latent; a spatial one has the last width's channels.
    bottleneck: Of the coarsest image: 'dense' or 'spatial'.
    dropout: Rate, on the bottlenecks.
    bayesian: Dropout stays on at inference, drawn from the key: a Monte Carlo scorer
      averages over keys (Gal and Ghahramani 2016).
  """
  check_bayesian('scale_space_ae', bayesian, dropout)
  if bottleneck not in baur2021.BOTTLENECKS:
    raise ValueError(
      f"scale_space_ae: unknown bottleneck '{bottleneck}'; there are "
      f'{", ".join(baur2021.BOTTLENECKS)}'
    )
  # The grids of the bands, halved and rounded up.
  grids = [tuple(-(-n // 2**i) for n in shape) for i in range(levels)]
  kinds = [(band_widths, 'spatial')] * (levels - 1) + [(widths, bottleneck)]
  for grid, (own, _) in zip(grids, kinds, strict=True):
    grid_sizes.halved_grid(grid, len(own))  # refuses those that cannot be halved
  nets = {
    f'band_{i}': StudyAutoEncoder(grid, channels, own, latent, kind, dropout)
    for i, (grid, (own, kind)) in enumerate(zip(grids, kinds, strict=True))
  }

  def init(key, batch: Batch):
    bands = laplacian_pyramid.laplacian(batch['image'], levels)
    keys = jax.random.split(key, levels)
    return {
      name: net.init(key, band)['params']
      for (name, net), key, band in zip(nets.items(), keys, bands, strict=True)
    }, {}

  def run(params, image, noise):
    """The bands, what their networks make of them, and the coarsest latent."""
    bands = laplacian_pyramid.laplacian(image, levels)
    restored = []
    for i, ((name, net), band) in enumerate(zip(nets.items(), bands, strict=True)):
      own = None if noise is None else jax.random.fold_in(noise, i)
      z, expected, _ = apply(net, params[name], band, None, noise=own)
      restored.append(expected)
    return bands, restored, z

  def loss(params, stats, batch: Batch, key, step):
    bands, restored, _ = run(params, batch['image'], key)
    masks = laplacian_pyramid.gaussian(batch['mask'], levels)
    parts = {}
    for i, (band, found, mask) in enumerate(zip(bands, restored, masks, strict=True)):
      error = losses.example_sum(jnp.abs(band - found) * mask)
      parts[f'l1_{i}'] = losses.example_mean(error, batch['weight'])
    return sum(parts.values()), (stats, parts)

  def infer(params, stats, batch: Batch, key):
    bands, restored, z = run(params, batch['image'], key if bayesian else None)
    residuals = [
      laplacian_pyramid.resize(jnp.abs(band - found), shape)
      for band, found in zip(bands, restored, strict=True)
    ]
    return {
      'latent': z,
      'reconstruction': laplacian_pyramid.compose(restored) * batch['mask'],
      'scale_residual': sum(residuals) / levels * batch['mask'],
    }

  return Method(init, {'autoencoders': Objective(loss, tuple(nets))}, infer)
