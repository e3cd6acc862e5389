"""Bayesian auto-encoder with dropout on its skip connections (Baur et al. 2020)."""

from collections.abc import Sequence

import jax.numpy as jnp

from uad_jax.method import Batch, Method, Objective
from uad_jax.nets.baur2021 import BOTTLENECKS
from uad_jax.nets.layers.dropout import apply, check_bayesian
from uad_jax.nets.layers.feature_taps import finest
from uad_jax.nets.skip_autoencoder import SkipAutoEncoder
from uad_jax.ops import losses
from uad_jax.ops.choices import check_choice


def make(
  shape: tuple[int, ...],
  channels: int = 1,
  widths: Sequence[int] = (32, 64, 128, 128),
  latent: int = 128,
  bottleneck: str = 'spatial',
  dropout: float = 0.5,
  drop_maps: bool = False,
  bayesian: bool = True,
) -> Method:
  """Builds an auto-encoder with dropout on its skip connections.

  L = sum |x - x'|.

  Baur et al., "Bayesian skip-autoencoders for unsupervised hyperintense anomaly
  detection in high resolution brain MRI", ISBI 2020. Skip connections sharpen images,
  but with them alone the network would copy its input. The dropout on them prevents
  this; its rate is the most important hyper-parameter, since with too little dropout
  lesions are copied. With dropout at inference every key gives another draw of x': a
  Monte Carlo scorer takes their mean as the reconstruction and their variance as the
  uncertainty.

  The sum is over the brain voxels of a scan, the mean over the scans; padded examples
  do not count. Departing from the paper: the network of Baur et al. 2021 with skip
  connections at each grid except the image's.

  Args:
    shape: Spatial shape of the images, which must halve for each width.
    channels: Number of contrasts.
    widths: Encoder widths, one for each halving of the grid.
    latent: Values of a dense bottleneck; a spatial one has widths[-1] channels.
    bottleneck: 'spatial' keeps the coarse grid, 'dense' is one vector.
    dropout: Dropout rate on the skip connections.
    drop_maps: Drop whole feature maps of a scan rather than single values.
    bayesian: Keep dropout on at inference, drawn from the key.

  Raises:
    ValueError: The bottleneck is unknown.
  """
  check_choice('bottleneck', bottleneck, BOTTLENECKS, 'skip_ae')
  check_bayesian('skip_ae', bayesian, dropout)
  net = SkipAutoEncoder(shape, channels, widths, latent, bottleneck, dropout, drop_maps)

  def init(key, batch: Batch):
    return {'autoencoder': net.init(key, batch['image'])['params']}, {}

  def run(params, image, noise):
    return apply(net, params['autoencoder'], image, noise=noise)

  def loss(params, stats, batch: Batch, key, step):
    _, expected = run(params, batch['image'], key)
    error = jnp.abs(batch['image'] - expected) * batch['mask']
    error = losses.example_mean(losses.example_sum(error), batch['weight'])
    return error, (stats, {'l1': error})

  def infer(params, stats, batch: Batch, key):
    z, expected = run(params, batch['image'], key if bayesian else None)
    return {
      'latent': z,
      'reconstruction': expected * batch['mask'],
      'features': finest(net, params['autoencoder'], batch['image']),
    }

  return Method(init, {'autoencoder': Objective(loss, ('autoencoder',))}, infer)
