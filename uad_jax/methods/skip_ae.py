"""Bayesian skip auto-encoder (Baur et al. 2020)."""

from collections.abc import Sequence

import jax.numpy as jnp

from uad_jax.method import Batch, Method, Objective
from uad_jax.nets.baur2021 import BOTTLENECKS
from uad_jax.nets.layers.dropout import apply, check_bayesian
from uad_jax.nets.layers.feature_taps import finest
from uad_jax.nets.skip_autoencoder import SkipAutoEncoder
from uad_jax.ops import losses


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
  """L = sum |x - x'| over the brain, skip connections under dropout.

  Baur et al., "Bayesian skip-autoencoders for unsupervised hyperintense anomaly
  detection in high resolution brain MRI", ISBI 2020. Skip connections give sharp images
  and would make the network a copier; the dropout on them keeps it from that, and is
  its first hyper-parameter: with too little of it lesions are copied. Kept at
  inference, it gives draws of x', whose mean is the reconstruction and whose variance
  the doubt: one draw for each key, to be averaged by a Monte Carlo scorer.

  The sum is over the brain's voxels of a scan, the mean over the scans; padded
  examples count nowhere. Departing from the paper: the network is that of Baur et al.
  2021 with the skip connections added, at each grid but the image's own.

  Args:
    shape: Spatial shape of the images, which must halve for each width.
    channels: Number of contrasts.
    widths: Encoder widths, one a halving of the grid.
    latent: Values of a dense bottleneck; a spatial one has the last width's channels.
    bottleneck: 'spatial' keeps the coarse grid, 'dense' is one vector.
    dropout: Rate of the skip connections.
    drop_maps: Drop whole maps of a scan rather than single values.
    bayesian: Dropout stays on at inference, drawn from the key.
  """
  if bottleneck not in BOTTLENECKS:
    raise ValueError(
      f"skip_ae: unknown bottleneck '{bottleneck}'; there are {', '.join(BOTTLENECKS)}"
    )
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
