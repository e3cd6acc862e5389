"""Encoder and decoder between an image and maps at a fraction of its resolution.

Those of You et al. ("Unsupervised lesion detection via image restoration with a
normative prior", MIDL 2019) have widths 64-64. Departing from them, zeros are put about
the image where they crop it, and the activation is the study's.
"""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from uad_jax.nets.baur2021 import SLOPE
from uad_jax.nets.encoder_decoder import LOG_VARIANCE
from uad_jax.nets.layers.conv import Conv
from uad_jax.nets.layers.feature_taps import keep
from uad_jax.nets.layers.resample import double

Array = jax.Array


class MapEncoder(nn.Module):
  """Three convolutions of 3^d for each width, the first of which halves the grid."""

  widths: Sequence[int]

  @nn.compact
  def __call__(self, x: Array) -> Array:
    """[B, *S, C] to [B, *S / 2^levels, widths[-1]]."""
    for width in self.widths:
      for stride in (2, 1, 1):
        x = nn.leaky_relu(Conv(width, (3,) * (x.ndim - 2), stride)(x), SLOPE)
      keep(self, x)
    return x


class MapDecoder(nn.Module):
  """The mirrored `MapEncoder`, which doubles the grid by repeating voxels.

  Its last convolution gives mean and log-variance, the latter of at most 0 (their
  deviations are at most 1).
  """

  channels: int
  widths: Sequence[int]

  @nn.compact
  def __call__(self, x: Array) -> tuple[Array, Array]:
    """[B, *S, C], not yet activated, to two of [B, *S * 2^levels, channels]."""
    kernel = (3,) * (x.ndim - 2)
    x = nn.leaky_relu(x, SLOPE)
    for left, width in reversed(list(enumerate(self.widths))):
      for _ in range(2):
        x = nn.leaky_relu(Conv(width, kernel)(x), SLOPE)
      x = double(x)
      if left:
        x = nn.leaky_relu(Conv(width, kernel)(x), SLOPE)
    mean, log_variance = jnp.split(Conv(2 * self.channels, kernel)(x), 2, -1)
    return mean, jnp.clip(log_variance, LOG_VARIANCE[0], 0.0)


class MapEncoding(nn.Module):
  """q(z | x) of You et al. 2019: maps of means and log-variances."""

  widths: Sequence[int]
  latent: int

  @nn.compact
  def __call__(self, x):
    x = MapEncoder(self.widths)(x)
    return Conv(2 * self.latent, (1,) * (x.ndim - 2))(x)


class MapDecoding(nn.Module):
  """p(x | z) of You et al. 2019; the slice height is not taken."""

  channels: int
  widths: Sequence[int]

  @nn.compact
  def __call__(self, z, where=None):
    x = Conv(self.widths[-1], (1,) * (z.ndim - 2))(z)
    return MapDecoder(self.channels, self.widths)(x)
