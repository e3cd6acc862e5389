"""Networks of the Gaussian-mixture variational auto-encoder (method `gmvae`).

Model of Dilokthanakul et al., "Deep unsupervised clustering with Gaussian mixture
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
"""Encoder modules by the name of the architecture."""

DECODERS = {
  'study': lambda channels, widths: StudyDecoder(channels, mirrored(widths)),
  'you2019': MapDecoder,
}
"""Functions (channels, encoder widths) -> decoder module, by architecture name.

The decoder of You et al. 2019 predicts mean and log-variance, that of Baur et al. 2021
the mean only.
"""


class Recognition(nn.Module):
  """Encoder of the GMVAE that predicts the posteriors of its two latents z and w.

  The posteriors q(z | x) and q(w | x) are normals; the heads predict means and log
  standard deviations. Dropout acts on these.

  Attributes:
    widths: Encoder widths, one for each halving of the grid.
    latent: Values of z, or channels of its map.
    latent_w: Values of w, or channels of its map.
    bottleneck: 'dense' for vectors, 'spatial' for maps on the coarse grid.
    dropout: Dropout rate in [0, 1].
    encoder: Function that creates the encoder module from the widths, see `ENCODERS`.
  """

  widths: Sequence[int]
  latent: int
  latent_w: int
  bottleneck: str
  dropout: float = 0.0
  encoder: Callable[..., nn.Module] = StudyEncoder

  @nn.compact
  def __call__(self, image: Array, deterministic: bool = True) -> tuple[Normal, Normal]:
    """Encodes images to the normal distributions of z and w.

    One dense layer (or 1^d convolution) gives the means of z and w, a second one their
    log deviations.

    Args:
      image: [B, *S, C].
      deterministic: Turns dropout off.

    Returns:
      Normals of z [B, Z] and w [B, W], or of maps [B, *S', Z] and [B, *S', W] on the
      coarse grid S'.
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
  """Network of the GMVAE that predicts each cluster's prior of z from the latent w.

  The prior of cluster c is p(z | w, c). One hidden layer is shared by all clusters.

  Attributes:
    clusters: Number of clusters, K.
    latent: Values of z.
    hidden: Units of the hidden layer.
  """

  clusters: int
  latent: int
  hidden: int = 64

  @nn.compact
  def __call__(self, w: Array) -> Normal:
    """Maps w [..., W] to the normals of z of all clusters, [..., K, Z]."""
    h = nn.leaky_relu(nn.Dense(self.hidden)(w), SLOPE)
    size, shape = self.clusters * self.latent, (self.clusters, self.latent)
    mean = nn.Dense(size)(h).reshape(*w.shape[:-1], *shape)
    log_variance = nn.Dense(size)(h).reshape(*w.shape[:-1], *shape)
    return Normal(mean, jnp.clip(log_variance, *LATENT_LOG_VARIANCE))


class Generation(nn.Module):
  """Decoder p(x | z) that predicts an image from a latent vector or map.

  Attributes:
    shape: Spatial shape of the images, multiples of 2^len(widths).
    channels: Contrasts of the images.
    widths: Encoder widths, which the decoder mirrors.
    bottleneck: 'dense' or 'spatial'.
    dropout: Dropout rate in [0, 1] after the dense layer of a dense bottleneck.
    decoder: Function that creates the decoder module from channels and widths, see
      `DECODERS`.
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
    """Decodes latents to the mean and the log-variance of images.

    Args:
      z: Vectors [B, Z] or maps [B, *S', Z] on the coarse grid S'.
      deterministic: Turns dropout off.

    Returns:
      Mean [B, *S, C], and log-variance [B, *S, C] or None if the decoder has none.
    """
    coarse, width = halved_grid(self.shape, len(self.widths)), self.widths[-1]
    if self.bottleneck == 'dense':
      x = FromVector(coarse, width)(z, self.dropout, deterministic)
    else:
      x = Conv(width, (1,) * len(coarse))(z)
    decoded = self.decoder(self.channels, self.widths)(x)
    return decoded if isinstance(decoded, tuple) else (decoded, None)
