"""Auto-encoder method with a spatial or dense bottleneck."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from uad_jax.method import Batch, Method, Objective
from uad_jax.nets.baur2021 import BOTTLENECKS, StudyAutoEncoder
from uad_jax.nets.encoder_decoder import AutoEncoder
from uad_jax.nets.layers.dropout import (
  ConcreteDropout,
  apply,
  check_bayesian,
  rate_entropy,
)
from uad_jax.nets.layers.feature_taps import finest
from uad_jax.ops import losses
from uad_jax.ops.choices import check_choice, choose
from uad_jax.ops.limits import check_number

ARCHITECTURES = ('default', 'study')
"""Names of the networks: the package's own, or the one of Baur et al. 2021."""


def make(
  shape: tuple[int, ...],
  channels: int = 1,
  widths: Sequence[int] = (32, 64, 128, 128),
  latent: int = 16,
  bottleneck: str = 'spatial',
  position: bool = True,
  architecture: str = 'default',
  dropout: float = 0.0,
  bayesian: bool = False,
  concrete: float | None = None,
  likelihood: str | None = None,
) -> Method:
  """Builds an auto-encoder, trained on the mean absolute error over the brain.

  L = mean |x - x'| + 0.1 times the negative log-likelihood of a variance head, which
  reads the decoder's features behind a stop-gradient: it learns the variance of the
  healthy residual for the 'standardised' score and does not change the reconstruction.

  With architecture 'study', the auto-encoder of Baur et al., Medical Image Analysis 69,
  2021: L = sum |x - x'| over the voxels of a scan, averaged over the scans; no variance
  head, no slice height. Departing from it, the sum is over the brain only, and dropout
  is also active in the decoder's dense layer, where their program left it off. Padded
  examples count in neither loss.

  Args:
    shape: Spatial shape of the images; for 'study' it must halve for each width.
    channels: Number of contrasts.
    widths: Encoder widths, one for each halving of the grid; the decoder mirrors them.
    latent: Channels of a spatial bottleneck; a dense one has 8 times as many values.
      For 'study' the values of a dense one; a spatial one has widths[-1] channels.
    bottleneck: 'spatial' keeps the coarse grid, 'dense' is one vector.
    position: Give the slice height to the decoder; not used by 'study'.
    architecture: 'default' or 'study'.
    dropout: Dropout rate on the bottleneck, after its dense layers or on its maps.
    bayesian: Keep dropout on at inference, drawn from the key; a Monte Carlo scorer
      then averages over keys (Gal and Ghahramani 2016).
    concrete: Learn the dropout rate, which starts at `dropout`: the loss is lowered by
      this times the entropy of the rate (Gal, Hron and Kendall 2017; the decay of the
      weights is left to the optimiser). None for a fixed rate.
    likelihood: Likelihood of the variance head: 'gaussian' (None), 'beta' (beta-NLL of
      Seitzer et al. 2022) or 'laplace'.

  Raises:
    ValueError: Bottleneck, architecture or likelihood is unknown, or 'study' is given
      an option that it does not use.
  """
  check_choice('bottleneck', bottleneck, BOTTLENECKS, 'ae')
  check_choice('architecture', architecture, sorted(ARCHITECTURES), 'ae')
  check_bayesian('ae', bayesian, dropout)
  study = architecture == 'study'
  nll = choose('likelihood', likelihood or 'gaussian', losses.LIKELIHOODS, 'ae')
  if study and (concrete is not None or likelihood):
    raise ValueError("ae: 'study' has neither 'concrete' nor 'likelihood'")
  if concrete is not None:
    check_number('ae: concrete', concrete, 0, above=True)
    check_number('ae: dropout', dropout, 0, 0.99, above=True)
  if study:
    net = StudyAutoEncoder(shape, channels, widths, latent, bottleneck, dropout)
  else:
    net = AutoEncoder(
      *(shape, channels, widths, latent, bottleneck, position, dropout),
      dropout_layer=nn.Dropout if concrete is None else ConcreteDropout,
    )

  def init(key, batch: Batch):
    variables = net.init(key, batch['image'], batch['position'])
    return {'autoencoder': variables['params']}, {}

  def run(params, batch, noise):
    inputs = batch['image'], batch['position']
    return apply(net, params['autoencoder'], *inputs, noise=noise)

  def loss(params, stats, batch: Batch, key, step):
    _, mean, log_variance = run(params, batch, key)
    image = batch['image']
    if study:
      error = losses.example_sum(jnp.abs(image - mean) * batch['mask'])
      error = losses.example_mean(error, batch['weight'])
      return error, (stats, {'l1': error})
    weight = losses.voxel_weight(batch)
    error = losses.masked_mean(jnp.abs(image - mean), weight)
    fit = nll(image, jax.lax.stop_gradient(mean), log_variance)
    total = error + 0.1 * losses.masked_mean(fit, weight)
    if concrete is not None:
      total -= concrete * rate_entropy(params['autoencoder'])
    return total, (stats, {'l1': error})

  def infer(params, stats, batch: Batch, key):
    z, mean, log_variance = run(params, batch, key if bayesian else None)
    inputs = batch['image'], batch['position']
    outputs = {
      'latent': z,
      'reconstruction': mean * batch['mask'],
      'features': finest(net, params['autoencoder'], *inputs),
    }
    if not study:
      outputs['reconstruction_log_variance'] = log_variance
    return outputs

  return Method(init, {'autoencoder': Objective(loss, ('autoencoder',))}, infer)
