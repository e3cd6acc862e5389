"""A latent whose prior is a mixture of normals: networks and densities.

The model of Dilokthanakul et al., "Deep unsupervised clustering with Gaussian mixture
variational autoencoders", 2016: w ~ N(0, I), c ~ uniform over K clusters,
z | w, c ~ N(mean_c(w), 1 / precision_c(w)), x | z. K clusters, Z and W latent values.
"""

import math
from collections.abc import Callable, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from uad_jax.nets.baur2021 import (
  SLOPE,
  FromVector,
  StudyDecoder,
  StudyEncoder,
  ToVector,
  mirrored,
)
from uad_jax.nets.encoder_decoder import LATENT_LOG_VARIANCE
from uad_jax.nets.layers.conv import Conv
from uad_jax.nets.layers.grid_sizes import check_latent, halved_grid
from uad_jax.nets.you2019 import MapDecoder, MapEncoder
from uad_jax.ops.gaussian_mixture import Normal

Array = jax.Array


ENCODERS = {'study': StudyEncoder, 'you2019': MapEncoder}
DECODERS = {
  'study': lambda channels, widths: StudyDecoder(channels, mirrored(widths)),
  'you2019': MapDecoder,
}
"""From the encoder's widths; that of You et al. also predicts the log-variance."""


class Recognition(nn.Module):
  """q(z | x) and q(w | x); the heads give log deviations, with dropout after them."""

  widths: Sequence[int]
  latent: int
  latent_w: int
  bottleneck: str
  dropout: float = 0.0
  encoder: Callable[..., nn.Module] = StudyEncoder

  @nn.compact
  def __call__(self, image: Array, deterministic: bool = True) -> tuple[Normal, Normal]:
    """[B, *S, C] to normals of [B, Z] and [B, W], or of maps [B, *S', Z], [B, *S', W].

    Z and W are two halves of one dense layer (or 1^d convolution) for the means, and
    of a second one for the log deviations.
    """
    x = self.encoder(self.widths)(image)
    size = self.latent + self.latent_w
    dense = self.bottleneck == 'dense'
    check_latent(size if dense else size * math.prod(x.shape[1:-1]), image)
    if dense:
      mean, log_deviation = ToVector(size, heads=2)(x)
    else:
      one = (1,) * (x.ndim - 2)
      mean, log_deviation = Conv(size, one)(x), Conv(size, one)(x)
    drop = nn.Dropout(self.dropout, deterministic=deterministic)
    mean, log_deviation = drop(mean), drop(log_deviation)
    log_variance = jnp.clip(2 * log_deviation, *LATENT_LOG_VARIANCE)
    halves = [jnp.split(s, [self.latent], -1) for s in (mean, log_variance)]
    return tuple(Normal(*pair) for pair in zip(*halves, strict=True))


class Clusters(nn.Module):
  """p(z | w, c) of every cluster, by a hidden layer shared by all."""

  clusters: int
  latent: int
  hidden: int = 64

  @nn.compact
  def __call__(self, w: Array) -> Normal:
    """[..., W] to the normals of every cluster, [..., K, Z]."""
    h = nn.leaky_relu(nn.Dense(self.hidden)(w), SLOPE)
    size, shape = self.clusters * self.latent, (self.clusters, self.latent)
    mean = nn.Dense(size)(h).reshape(*w.shape[:-1], *shape)
    log_variance = nn.Dense(size)(h).reshape(*w.shape[:-1], *shape)
    return Normal(mean, jnp.clip(log_variance, *LATENT_LOG_VARIANCE))


class Generation(nn.Module):
  """p(x | z), from a vector or a map, with dropout after the dense layer.

  The study's decoder gives the mean, that of You et al. also the log-variance.
  """

  shape: Sequence[int]
  channels: int
  widths: Sequence[int]
  bottleneck: str
  dropout: float = 0.0
  decoder: Callable[..., nn.Module] = DECODERS['study']

  @nn.compact
  def __call__(
    self, z: Array, deterministic: bool = True
  ) -> tuple[Array, Array | None]:
    """[B, Z] or [B, *S', Z] to mean and log-variance [B, *S, C], the latter or None."""
    coarse, width = halved_grid(self.shape, len(self.widths)), self.widths[-1]
    if self.bottleneck == 'dense':
      x = FromVector(coarse, width)(z, self.dropout, deterministic)
    else:
      x = Conv(width, (1,) * len(coarse))(z)
    found = self.decoder(self.channels, self.widths)(x)
    return found if isinstance(found, tuple) else (found, None)
