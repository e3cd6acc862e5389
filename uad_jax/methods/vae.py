"""Variational auto-encoder (Kingma & Welling 2014) as a prior of healthy anatomy."""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from uad_jax.method import Batch, Method, Objective
from uad_jax.methods.families import variational
from uad_jax.nets.layers.dropout import check_bayesian
from uad_jax.ops import losses

Array = jax.Array


def _absolute(image: Array, expected: Array, log_variance: Array | None) -> Array:
  return jnp.abs(image - expected)


def _square(image: Array, expected: Array, log_variance: Array | None) -> Array:
  return (image - expected) ** 2


def _mean(value: Array, mask: Array | float, weight: Array) -> Array:
  return losses.masked_mean(value, mask * losses.per_example(weight, value))


def _sum(value: Array, mask: Array | float, weight: Array) -> Array:
  return losses.example_mean(losses.example_sum(value * mask), weight)


MISFITS = {
  'default': (losses.beta_nll, losses.gaussian_nll, _mean),
  'study': (_absolute, _absolute, _sum),
  'you2019': (losses.gaussian_nll, _square, _sum),
}
"""By architecture: what training lowers, what 'rec' and the ELBO are made of, and how a
loss is taken over a batch."""


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
) -> Method:
  """L = beta-NLL(x; decoder(z)) averaged over brain voxels + beta KL averaged over z.

  The likelihood is heteroscedastic (Seitzer et al. 2022, beta 0.5), so that the
  'standardised' score is the model's own. z has a spatial grid.

  With architecture 'study', the VAE of Baur et al., Medical Image Analysis 69, 2021:
  L = sum |x - x'| + beta KL, both summed over a scan and averaged over the scans; beta
  is 1 and there is no ramp in the paper. z is one vector. Departing from it, the sum is
  over the brain only, and inference decodes the mean rather than a draw. Padded
  examples count in neither loss.

  'rec' and 'kl' [B] are what the ELBO consists of, for scores by its gradient: the
  negative log-likelihood of the brain's voxels at the mean of z (in the study the sum
  of |x - x'|), and the whole KL divergence, whatever weight it has in training.

  With architecture 'you2019', the VAE that You et al. ("Unsupervised lesion detection
  via image restoration with a normative prior", MIDL 2019) compare with their GMVAE: z
  a map, the negative log-likelihood of a normal whose variance is predicted, sums as in
  the study. 'rec' is the plain squared error, by which they restore.

  Args:
    shape: Spatial shape of the images; for 'study' and 'you2019' it must halve for each
      width.
    channels: Number of contrasts.
    widths: Encoder widths, one a halving of the grid; the decoder mirrors them.
    latent: Channels of the latent grid; in the study the values of the vector.
    beta: Weight of the KL divergence; it rises linearly from 0 over `warm_up` steps.
    warm_up: Steps of that ramp; 0 for none.
    position: Give the slice height to the decoder; only the default one takes it.
    architecture: One of `MISFITS`.
    dropout: Rate: on the latent grid, or after each dense layer of the study's.
    bayesian: Dropout stays on at inference, drawn from the key: a Monte Carlo scorer
      averages over keys (Gal and Ghahramani 2016).
  """
  if architecture not in MISFITS:
    raise ValueError(
      f"vae: unknown architecture '{architecture}'; there are {', '.join(MISFITS)}"
    )
  check_bayesian('vae', bayesian, dropout)
  trained, told, reduce = MISFITS[architecture]
  build = {
    'default': functools.partial(variational.convolutional, position=position),
    'study': variational.study,
    'you2019': variational.maps,
  }[architecture]
  nets = build(shape, channels, widths, latent, dropout=dropout)

  def init(key, batch: Batch):
    return nets.init(key, batch), {}

  def loss(params, stats, batch: Batch, key, step):
    noise = jax.random.fold_in(key, 1)  # apart from the draw of z
    mean, log_variance = nets.encode(params, batch['image'], noise)
    z = variational.sample(key, mean, log_variance)
    expected, spread = nets.decode(params, z, batch['position'], noise)
    error = trained(batch['image'], expected, spread)
    error = reduce(error, batch['mask'], batch['weight'])
    kl = reduce(losses.kl_normal(mean, log_variance), 1.0, batch['weight'])
    ramp = jnp.minimum(step / max(warm_up, 1), 1.0) if warm_up else 1.0
    return error + beta * ramp * kl, (stats, {'nll': error, 'kl': kl})

  def infer(params, stats, batch: Batch, key):
    noise = key if bayesian else None
    mean, log_variance = nets.encode(params, batch['image'], noise)
    expected, spread = nets.decode(params, mean, batch['position'], noise)
    error = told(batch['image'], expected, spread)
    rec = losses.example_sum(error * batch['mask'])
    kl = losses.example_sum(losses.kl_normal(mean, log_variance))
    outputs = {
      'latent': mean,
      'reconstruction': expected * batch['mask'],
      'elbo': -rec - kl,
      'rec': rec,
      'kl': kl,
      'features': nets.features(params, batch['image']),
    }
    if spread is not None:
      outputs['reconstruction_log_variance'] = spread
    return outputs

  return Method(init, {'vae': Objective(loss, ('encoder', 'decoder'))}, infer)
