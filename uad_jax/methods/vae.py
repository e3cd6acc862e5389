"""Variational auto-encoder (Kingma & Welling 2014) as a prior of healthy anatomy."""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from uad_jax.method import Array, Batch, Method, Objective
from uad_jax.methods.families import variational
from uad_jax.nets.layers.dropout import check_bayesian
from uad_jax.ops import losses
from uad_jax.ops.choices import check_choice, choose


def _mean(value: Array, mask: Array | float, weight: Array) -> Array:
  """Mean over voxels and scans."""
  return losses.masked_mean(value, mask * losses.per_example(weight, value))


def _sum(value: Array, mask: Array | float, weight: Array) -> Array:
  """Sum over voxels, mean over scans."""
  return losses.example_mean(losses.example_sum(value * mask), weight)


MISFITS = {
  'default': (losses.beta_nll, losses.gaussian_nll, _mean),
  'study': (variational.absolute_error, variational.absolute_error, _sum),
  'you2019': (losses.gaussian_nll, variational.squared_error, _sum),
}
"""Tuples by architecture: misfit in training, misfit in the outputs 'rec' and 'elbo',
reduction (value by voxel, mask, weight) -> scalar of a loss over a batch."""


def make(
  shape: tuple[int, ...],
  channels: int = 1,
  widths: Sequence[int] = (32, 64, 128, 128),
  latent: int = 16,
  beta: float = 1e-3,
  warm_up: int = 200,
  position: bool = True,
  architecture: str = 'default',
  dropout: float = 0.0,
  bayesian: bool = False,
  likelihood: str | None = None,
) -> Method:
  """Builds a variational auto-encoder that predicts mean and variance of each voxel.

  L = beta-NLL(x; decoder(z)) averaged over brain voxels + beta KL averaged over z.

  Of V brain voxels and Z latent values the means are sums divided by V and Z: L is
  proportional to sum NLL + (beta V / Z) sum KL. On slices of 64 x 64 with about 1 800
  brain voxels and 256 latent values the default is an effective beta of 0.007, far from
  the bound (1): nearly an auto-encoder with a little noise on its codes.

  The likelihood is heteroscedastic: the decoder predicts mean and variance of each
  voxel (beta-NLL of Seitzer et al. 2022 with their beta 0.5), from which the scorer
  'standardised' computes its anomaly map. z has a spatial grid.

  With architecture 'study', the VAE of Baur et al., Medical Image Analysis 69, 2021:
  L = sum |x - x'| + beta KL, both summed over a scan and averaged over the scans; beta
  is 1 and there is no ramp in the paper. z is one vector. Departing from it, the sum is
  over the brain only, and inference decodes the mean rather than a draw. Padded
  examples count in neither loss.

  The outputs 'rec' and 'kl' [B] are the two terms of the ELBO, for scorers that use its
  gradient: the negative log-likelihood of the brain voxels at the mean of z (for
  'study' the sum of |x - x'|), and the whole KL divergence, whatever its weight in
  training.

  With architecture 'you2019', the VAE that You et al. ("Unsupervised lesion detection
  via image restoration with a normative prior", MIDL 2019) compare with their GMVAE: z
  is a map, the loss the negative log-likelihood of a normal whose variance is
  predicted, with sums as in the study. 'rec' is the squared error, with which they
  restore.

  Args:
    shape: Spatial shape of the images; for 'study' and 'you2019' it must halve for each
      width.
    channels: Number of contrasts.
    widths: Encoder widths, one for each halving of the grid; the decoder mirrors them.
    latent: Channels of the latent maps; for 'study' the size of the latent vector.
    beta: Weight of the KL divergence, for 'default' of its mean; it rises linearly from
      0 over `warm_up` steps.
    warm_up: Steps of the ramp of beta; 0 for no ramp.
    position: Give the slice height to the decoder; used by 'default' only.
    architecture: 'default', 'study' or 'you2019'.
    dropout: Dropout rate on the latent maps, for 'study' after each dense layer.
    bayesian: Keep dropout on at inference, drawn from the key; a Monte Carlo scorer
      then averages over keys (Gal and Ghahramani 2016).
    likelihood: Likelihood of a voxel in the training of 'default': 'beta' (None),
      'gaussian' or 'laplace', see `losses.LIKELIHOODS`.

  Raises:
    ValueError: The architecture or the likelihood is unknown, or another architecture
      than 'default' is given a likelihood.
  """
  check_choice('architecture', architecture, MISFITS, 'vae')
  check_bayesian('vae', bayesian, dropout)
  training_misfit, misfit, reduce = MISFITS[architecture]
  if likelihood:
    training_misfit = choose('likelihood', likelihood, losses.LIKELIHOODS, 'vae')
    check_choice('architecture with a likelihood', architecture, ('default',), 'vae')
  build = {
    'default': functools.partial(variational.convolutional, position=position),
    'study': variational.study,
    'you2019': variational.you2019,
  }[architecture]
  nets = build(shape, channels, widths, latent, dropout=dropout)

  def init(key, batch: Batch):
    return nets.init(key, batch), {}

  def loss(params, stats, batch: Batch, key, step):
    noise = jax.random.fold_in(key, 1)  # apart from the draw of z
    mean, log_variance = nets.encode(params, batch['image'], noise)
    z = variational.sample(key, mean, log_variance)
    expected, image_log_variance = nets.decode(params, z, batch['position'], noise)
    error = training_misfit(batch['image'], expected, image_log_variance)
    error = reduce(error, batch['mask'], batch['weight'])
    kl = reduce(losses.kl_normal(mean, log_variance), 1.0, batch['weight'])
    ramp = jnp.minimum(step / max(warm_up, 1), 1.0) if warm_up else 1.0
    return error + beta * ramp * kl, (stats, {'nll': error, 'kl': kl})

  infer = variational.inference(nets, misfit, bayesian)
  return Method(init, {'vae': Objective(loss, ('encoder', 'decoder'))}, infer)
