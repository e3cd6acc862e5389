"""Encoder and decoder of You et al. 2019, whose latents are maps on a coarse grid.

You et al., "Unsupervised lesion detection via image restoration with a normative
prior", MIDL 2019, with widths 64-64. Departures: convolutions are padded by zeros,
where the authors crop the image, and the activation is that of Baur et al. 2021.
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
  """Encoder of You et al. 2019, which maps images to features on a coarse grid.

  Three 3 x 3 (x 3) convolutions for each width, of which the first has stride 2.

  Attributes:
    widths: Channels after each halving of the grid.
  """

  widths: Sequence[int]

  @nn.compact
  def __call__(self, x: Array) -> Array:
    """Encodes images [B, *S, C] to features [B, *S / 2^levels, widths[-1]]."""
    for width in self.widths:
      for stride in (2, 1, 1):
        x = nn.leaky_relu(Conv(width, (3,) * (x.ndim - 2), stride)(x), SLOPE)
      keep(self, x)
    return x


class MapDecoder(nn.Module):
  """Decoder of You et al. 2019 that maps features to mean and log-variance of images.

  It mirrors `MapEncoder`. The grid is doubled by repeating voxels. The log-variance
  is at most 0, because the standard deviations of the paper are at most 1.

  Attributes:
    channels: Contrasts of the images.
    widths: Encoder widths, which the decoder mirrors.
  """

  channels: int
  widths: Sequence[int]

  @nn.compact
  def __call__(self, x: Array) -> tuple[Array, Array]:
    """Decodes features to images.

    Args:
      x: Features [B, *S, C] before the activation.

    Returns:
      Mean and log-variance, each [B, *S * 2^levels, channels].
    """
    kernel = (3,) * (x.ndim - 2)
    x = nn.leaky_relu(x, SLOPE)
    for level, width in reversed(list(enumerate(self.widths))):
      for _ in range(2):
        x = nn.leaky_relu(Conv(width, kernel)(x), SLOPE)
      x = double(x)
      if level:
        x = nn.leaky_relu(Conv(width, kernel)(x), SLOPE)
    mean, log_variance = jnp.split(Conv(2 * self.channels, kernel)(x), 2, -1)
    return mean, jnp.clip(log_variance, LOG_VARIANCE[0], 0.0)


class MapEncoding(nn.Module):
  """Encoder of You et al. 2019 that predicts mean and log-variance of the latent map.

  The latent z of the posterior q(z | x) is a map on a coarse grid.

  Attributes:
    widths: Encoder widths, one for each halving of the grid.
    latent: Channels of the latent maps.
  """

  widths: Sequence[int]
  latent: int

  @nn.compact
  def __call__(self, x):
    """Encodes images [B, *S, C] to [B, *S / 2^levels, 2 latent], means first."""
    x = MapEncoder(self.widths)(x)
    return Conv(2 * self.latent, (1,) * (x.ndim - 2))(x)


class MapDecoding(nn.Module):
  """Decoder of You et al. 2019 that maps a latent map to an image and a log-variance.

  The latent z of p(x | z) is a map on a coarse grid.

  Attributes:
    channels: Contrasts of the images.
    widths: Encoder widths, which the decoder mirrors.
  """

  channels: int
  widths: Sequence[int]

  @nn.compact
  def __call__(self, z, height=None):
    """Decodes latent maps.

    Args:
      z: [B, *S / 2^levels, latent].
      height: Not used; `encoder_decoder.Decoding` has the slice height here.

    Returns:
      Mean and log-variance, each [B, *S, channels].
    """
    x = Conv(self.widths[-1], (1,) * (z.ndim - 2))(z)
    return MapDecoder(self.channels, self.widths)(x)
