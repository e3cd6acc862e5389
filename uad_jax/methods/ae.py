"""Auto-encoder with a spatial or dense bottleneck, the plainest of reconstructions."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from uad_jax import losses
from uad_jax.method import Batch, Method, Objective
from uad_jax.nets.coder import Decoder, Encoder, Head, sizes
from uad_jax.nets.position import position_features

BOTTLENECKS = ('spatial', 'dense')
LOG_VARIANCE = (-9.0, 2.0)


class AutoEncoder(nn.Module):
  """Encoder, bottleneck, decoder, and heads for the mean and its log-variance."""

  shape: Sequence[int]
  channels: int
  widths: Sequence[int]
  latent: int
  bottleneck: str
  position: bool

  @nn.compact
  def __call__(self, image, position):
    where = position_features(position) if self.position else None
    z = Encoder(self.widths, self.latent)(image)
    if self.bottleneck == 'dense':
      grid = sizes(self.shape, len(self.widths))[-1]
      z = nn.Dense(8 * self.latent)(z.reshape(len(z), -1))
      wide = nn.swish(nn.Dense(jnp.prod(jnp.array(grid)).item() * self.latent)(z))
      features = Decoder(self.shape, self.widths[::-1])(
        wide.reshape(len(z), *grid, self.latent), where
      )
    else:
      features = Decoder(self.shape, self.widths[::-1])(z, where)
    mean = Head(self.channels)(features)
    log_variance = Head(self.channels, bias=-4.0)(jax.lax.stop_gradient(features))
    return z, mean, jnp.clip(log_variance, *LOG_VARIANCE)


def make(
  shape: tuple[int, ...],
  channels: int = 1,
  widths: Sequence[int] = (32, 64, 128, 128),
  latent: int = 16,
  bottleneck: str = 'spatial',
  position: bool = True,
) -> Method:
  """L = mean |x - x'| in the brain, plus the variance head's likelihood.

  The head reads the decoder's features behind a stop-gradient: it measures the healthy
  residual for the 'standardised' score and does not change the reconstruction.

  Args:
    shape: Spatial shape of the images.
    channels: Number of contrasts.
    widths: Encoder widths, one a halving of the grid; the decoder mirrors them.
    latent: Channels of the bottleneck; the dense one has 8 times as many values.
    bottleneck: 'spatial' keeps the coarse grid, 'dense' is one vector.
    position: Give the slice height to the decoder.
  """
  if bottleneck not in BOTTLENECKS:
    raise ValueError(
      f"ae: unknown bottleneck '{bottleneck}'; there are {', '.join(BOTTLENECKS)}"
    )
  net = AutoEncoder(shape, channels, widths, latent, bottleneck, position)

  def init(key, batch: Batch):
    variables = net.init(key, batch['image'], batch['position'])
    return {'autoencoder': variables['params']}, {}

  def run(params, batch):
    variables = {'params': params['autoencoder']}
    return net.apply(variables, batch['image'], batch['position'])

  def loss(params, stats, batch: Batch, key, step):
    _, mean, log_variance = run(params, batch)
    image = batch['image']
    weight = batch['mask'] * losses.per_example(batch['weight'], image)
    error = losses.masked_mean(jnp.abs(image - mean), weight)
    fit = losses.gaussian_nll(image, jax.lax.stop_gradient(mean), log_variance)
    return error + 0.1 * losses.masked_mean(fit, weight), (stats, {'l1': error})

  def infer(params, stats, batch: Batch, key):
    z, mean, log_variance = run(params, batch)
    return {
      'latent': z,
      'reconstruction': mean * batch['mask'],
      'reconstruction_log_variance': log_variance,
    }

  return Method(init, {'autoencoder': Objective(loss, ('autoencoder',))}, infer)
