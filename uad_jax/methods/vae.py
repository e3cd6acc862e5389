"""Variational auto-encoder (Kingma & Welling 2014) as a prior of healthy anatomy."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from uad_jax import losses
from uad_jax.method import Batch, Method, Objective
from uad_jax.nets.coder import Decoder, Encoder, Head
from uad_jax.nets.position import position_features

LOG_VARIANCE = (-9.0, 2.0)


class Decoding(nn.Module):
  """p(x | z): mean and log-variance by voxel."""

  shape: Sequence[int]
  channels: int
  widths: Sequence[int]

  @nn.compact
  def __call__(self, z, where):
    features = Decoder(self.shape, self.widths)(z, where)
    log_variance = Head(self.channels, bias=-4.0)(features)
    return Head(self.channels)(features), jnp.clip(log_variance, *LOG_VARIANCE)


def make(
  shape: tuple[int, ...],
  channels: int = 1,
  widths: Sequence[int] = (32, 64, 128, 128),
  latent: int = 16,
  beta: float = 1e-3,
  warm_up: int = 200,
  position: bool = True,
) -> Method:
  """L = beta-NLL(x; decoder(z)) averaged over brain voxels + beta KL averaged over z.

  The likelihood is heteroscedastic (Seitzer et al. 2022, beta 0.5), so that the
  'standardised' score is the model's own. z has a spatial grid.

  Args:
    shape: Spatial shape of the images.
    channels: Number of contrasts.
    widths: Encoder widths, one a halving of the grid; the decoder mirrors them.
    latent: Channels of the latent grid.
    beta: Weight of the KL divergence; it rises linearly from 0 over `warm_up` steps.
    warm_up: Steps of that ramp.
    position: Give the slice height to the decoder.
  """
  encoder = Encoder(widths, 2 * latent)
  decoder = Decoding(shape, channels, widths[::-1])

  def where(batch):
    return position_features(batch['position']) if position else None

  def encode(params, batch):
    statistics = encoder.apply({'params': params['encoder']}, batch['image'])
    mean, log_variance = jnp.split(statistics, 2, -1)
    return mean, jnp.clip(log_variance, -12.0, 6.0)

  def decode(params, batch, z):
    return decoder.apply({'params': params['decoder']}, z, where(batch))

  def sample(key, mean, log_variance):
    return mean + jnp.exp(0.5 * log_variance) * jax.random.normal(key, mean.shape)

  def terms(params, batch, z, mean, log_variance):
    expected, spread = decode(params, batch, z)
    error = losses.beta_nll(batch['image'], expected, spread)
    return error, losses.kl_normal(mean, log_variance), expected, spread

  def init(key, batch: Batch):
    key_encoder, key_decoder = jax.random.split(key)
    encoding = encoder.init(key_encoder, batch['image'])
    mean, _ = jnp.split(encoder.apply(encoding, batch['image']), 2, -1)
    decoding = decoder.init(key_decoder, mean, where(batch))
    return {'encoder': encoding['params'], 'decoder': decoding['params']}, {}

  def loss(params, stats, batch: Batch, key, step):
    mean, log_variance = encode(params, batch)
    z = sample(key, mean, log_variance)
    error, kl, _, _ = terms(params, batch, z, mean, log_variance)
    weight = batch['mask'] * losses.per_example(batch['weight'], batch['mask'])
    error = losses.masked_mean(error, weight)
    kl = losses.masked_mean(kl, losses.per_example(batch['weight'], kl))
    ramp = jnp.minimum(step / max(warm_up, 1), 1.0)
    return error + beta * ramp * kl, (stats, {'nll': error, 'kl': kl})

  def infer(params, stats, batch: Batch, key):
    mean, log_variance = encode(params, batch)
    error, kl, expected, spread = terms(params, batch, mean, mean, log_variance)
    mask = batch['mask']
    axes = tuple(range(1, error.ndim))
    return {
      'latent': mean,
      'reconstruction': expected * mask,
      'reconstruction_log_variance': spread,
      'elbo': -(error * mask).sum(axes) - kl.sum(axes),
    }

  return Method(init, {'vae': Objective(loss, ('encoder', 'decoder'))}, infer)
