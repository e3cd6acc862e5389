"""Scale-space auto-encoders, one for each band of a Laplacian pyramid of the image.

The method of Baur et al. 2020.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from uad_jax.method import Batch, Method, Objective
from uad_jax.nets import baur2021
from uad_jax.nets.baur2021 import StudyAutoEncoder
from uad_jax.nets.layers import grid_sizes
from uad_jax.nets.layers.dropout import apply, check_bayesian
from uad_jax.ops import laplacian_pyramid, losses
from uad_jax.ops.choices import check_choice


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
  """Builds one auto-encoder for each band of a Laplacian pyramid, trained together.

  L = sum_i sum |L_i - f_i(L_i)| over the brain, L_i the bands of the pyramid.

  Baur et al., "Scale-space autoencoders for unsupervised anomaly segmentation in brain
  MRI", MICCAI 2020. L_i = x_i - up(x_{i+1}), x_{i+1} = down(x_i); the last band is the
  coarsest image. Each band has its own auto-encoder f_i, with a spatial bottleneck for
  the fine bands and a dense (or spatial) one for the coarsest. The reconstruction is
  composed of the f_i(L_i). The output 'scale_residual' is the mean over the bands of
  |L_i - f_i(L_i)|, each resized to the image's grid, for the scorer 'output'.

  Sums are over a scan's voxels; voxels of coarse grids are weighted by their share of
  brain. Means are over the scans; padded examples do not count. Departing from the
  paper, the networks are those of Baur et al. 2021.

  Args:
    shape: Spatial shape of the images; the grid of each band must halve for each width.
    channels: Number of contrasts.
    levels: Number of bands, the coarsest image included.
    widths: Encoder widths for the coarsest image, one for each halving of its grid.
    band_widths: Encoder widths for the other bands.
    latent: Values of a dense latent; a spatial one has widths[-1] channels.
    bottleneck: Bottleneck for the coarsest image, 'dense' or 'spatial'.
    dropout: Dropout rate on the bottlenecks.
    bayesian: Keep dropout on at inference, drawn from the key; a Monte Carlo scorer
      then averages over keys (Gal and Ghahramani 2016).

  Raises:
    ValueError: The bottleneck is unknown.
  """
  check_bayesian('scale_space_ae', bayesian, dropout)
  check_choice('bottleneck', bottleneck, baur2021.BOTTLENECKS, 'scale_space_ae')
  # The grids of the bands, halved and rounded up.
  grids = [tuple(-(-n // 2**i) for n in shape) for i in range(levels)]
  kinds = [(band_widths, 'spatial')] * (levels - 1) + [(widths, bottleneck)]
  for grid, (encoder_widths, _) in zip(grids, kinds, strict=True):
    grid_sizes.halved_grid(grid, len(encoder_widths))  # raises if it cannot be halved
  nets = {
    f'band_{i}': StudyAutoEncoder(grid, channels, encoder_widths, latent, kind, dropout)
    for i, (grid, (encoder_widths, kind)) in enumerate(zip(grids, kinds, strict=True))
  }

  def init(key, batch: Batch):
    bands = laplacian_pyramid.laplacian(batch['image'], levels)
    keys = jax.random.split(key, levels)
    return {
      name: net.init(key, band)['params']
      for (name, net), key, band in zip(nets.items(), keys, bands, strict=True)
    }, {}

  def run(params, image, noise):
    """Bands of the images, bands that the networks restore, the coarsest latent."""
    bands = laplacian_pyramid.laplacian(image, levels)
    restored = []
    for i, ((name, net), band) in enumerate(zip(nets.items(), bands, strict=True)):
      band_noise = None if noise is None else jax.random.fold_in(noise, i)
      z, expected, _ = apply(net, params[name], band, None, noise=band_noise)
      restored.append(expected)
    return bands, restored, z

  def loss(params, stats, batch: Batch, key, step):
    bands, restored, _ = run(params, batch['image'], key)
    masks = laplacian_pyramid.gaussian(batch['mask'], levels)
    parts = {}
    triples = zip(bands, restored, masks, strict=True)
    for i, (band, expected, mask) in enumerate(triples):
      error = losses.example_sum(jnp.abs(band - expected) * mask)
      parts[f'l1_{i}'] = losses.example_mean(error, batch['weight'])
    return sum(parts.values()), (stats, parts)

  def infer(params, stats, batch: Batch, key):
    bands, restored, z = run(params, batch['image'], key if bayesian else None)
    residuals = [
      laplacian_pyramid.resize(jnp.abs(band - expected), shape)
      for band, expected in zip(bands, restored, strict=True)
    ]
    return {
      'latent': z,
      'reconstruction': laplacian_pyramid.compose(restored) * batch['mask'],
      'scale_residual': sum(residuals) / levels * batch['mask'],
    }

  return Method(init, {'autoencoders': Objective(loss, tuple(nets))}, infer)
