"""Encoder, decoder and auto-encoder networks of the study by Baur et al. 2021.

Baur et al., "Autoencoders for unsupervised anomaly segmentation in brain MR images: a
comparative study", Medical Image Analysis 69, 2021. Kernels of edge 5, convolutions of
stride 2, leaky ReLU of slope 0.3 and, as in the paper's results, no normalisation; 2-D
and 3-D. At 128 x 128 with a coarse grid of 8 x 8 the dense auto-encoder has 1 625 777
parameters, the spatial one 1 358 241, the variational one 1 756 977.
"""

import math
from collections.abc import Callable, Sequence

import flax.linen as nn
import jax

from uad_jax.nets.layers.conv import Conv
from uad_jax.nets.layers.conv_transpose import ConvTranspose
from uad_jax.nets.layers.feature_taps import keep
from uad_jax.nets.layers.grid_sizes import check_latent, halved_grid

SLOPE = 0.3
"""Slope of the leaky ReLU for negative values, as in Baur et al. 2021."""

WIDTHS = (32, 64, 128, 128)
"""Encoder widths of Baur et al. 2021: channels after each halving of the grid."""

BOTTLENECKS = ('dense', 'spatial')
"""Kinds of bottleneck: one latent vector, or latent maps on the coarse grid."""


def mirrored(widths: Sequence[int]) -> tuple[int, ...]:
  """Computes the channels of each decoder layer from the widths of the encoder.

  As in Baur et al. 2021, the decoder's width i is widths[-1] / 2^i, but at least
  widths[0].

  Args:
    widths: Channels after each halving of the grid, finest first.

  Returns:
    Channels after each doubling of the grid, coarsest first.
  """
  return tuple(max(widths[0], widths[-1] // 2**i) for i in range(len(widths)))


class StudyEncoder(nn.Module):
  """Convolutional encoder of Baur et al. 2021 that maps images to coarse features.

  Each convolution has kernel edge 5 and stride 2 and is followed by a leaky ReLU.

  Attributes:
    widths: Channels after each halving of the grid.
  """

  widths: Sequence[int] = WIDTHS

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Encodes images [B, *S, C] to features [B, *S / 2^levels, widths[-1]]."""
    for width in self.widths:
      x = nn.leaky_relu(Conv(width, (5,) * (x.ndim - 2), 2)(x), SLOPE)
      keep(self, x)
    return x


class ToVector(nn.Module):
  """Bottleneck of Baur et al. 2021 that maps feature maps to latent vectors.

  A 1 x 1 (x 1) convolution reduces C channels to C / 8; dense layers follow.

  Attributes:
    size: Values of each latent vector.
    heads: Number of dense layers (mean, log deviation), which share the convolution.
  """

  size: int
  heads: int = 1

  @nn.compact
  def __call__(self, x: jax.Array) -> tuple[jax.Array, ...]:
    """Maps features [B, *S, C] to a tuple of `heads` latent vectors [B, size]."""
    x = Conv(x.shape[-1] // 8, (1,) * (x.ndim - 2))(x)
    x = x.reshape(len(x), -1)
    return tuple(nn.Dense(self.size)(x) for _ in range(self.heads))


class FromVector(nn.Module):
  """Network that maps a latent vector to the feature maps at which a decoder starts.

  A dense layer, then a 1 x 1 (x 1) convolution, as in Baur et al. 2021.

  Attributes:
    grid: Spatial shape of the coarse grid.
    width: Channels of the result; the dense layer gives an eighth of them.
  """

  grid: Sequence[int]
  width: int = WIDTHS[-1]

  @nn.compact
  def __call__(
    self, z: jax.Array, rate: float = 0.0, deterministic: bool = True
  ) -> jax.Array:
    """Maps latent vectors [B, Z] to features [B, *grid, width].

    Args:
      z: [B, Z].
      rate: Rate of the dropout after the dense layer, in [0, 1].
      deterministic: Turns dropout off.
    """
    narrow = self.width // 8
    x = nn.Dense(math.prod(self.grid) * narrow)(z)
    x = nn.Dropout(rate, deterministic=deterministic)(x)
    x = x.reshape(len(x), *self.grid, narrow)
    return Conv(self.width, (1,) * len(self.grid))(x)


class StudyDecoder(nn.Module):
  """Convolutional decoder of Baur et al. 2021 that maps coarse features to images.

  A ReLU comes first, then transposed convolutions of kernel edge 5 and stride 2, each
  with a leaky ReLU, and last a linear 1 x 1 (x 1) convolution to the image.

  Attributes:
    channels: Contrasts of the image.
    widths: Channels after each doubling of the grid, coarsest first.
    norm: Function that creates the normalisation layer before each activation, which
      the generators of adversarial methods have; None for no normalisation.
  """

  channels: int = 1
  widths: Sequence[int] = (128, 64, 32, 32)
  norm: Callable[[], nn.Module] | None = None

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Decodes features [B, *S, C] to images [B, *S * 2^levels, channels]."""
    d = x.ndim - 2
    x = nn.relu(self.norm()(x) if self.norm else x)
    for width in self.widths:
      x = ConvTranspose(width)(x)
      x = nn.leaky_relu(self.norm()(x) if self.norm else x, SLOPE)
    return Conv(self.channels, (1,) * d)(x)


class StudyEncoding(nn.Module):
  """Network that encodes images to latents: encoder and bottleneck of Baur et al. 2021.

  Attributes:
    widths: Encoder widths, one for each halving of the grid.
    latent: Values of a dense latent; a spatial latent is the encoder's last features.
    bottleneck: One of `BOTTLENECKS`.
    heads: Number of dense latents (mean, log deviation).
    dropout: Dropout rate in [0, 1].
  """

  widths: Sequence[int] = WIDTHS
  latent: int = 128
  bottleneck: str = 'dense'
  heads: int = 1
  dropout: float = 0.0

  @nn.compact
  def __call__(
    self, image: jax.Array, deterministic: bool = True
  ) -> tuple[jax.Array, ...]:
    """Encodes images [B, *S, C] to a tuple of latents.

    Args:
      image: [B, *S, C].
      deterministic: Turns dropout off.

    Returns:
      `heads` dense latents [B, Z], or one spatial [B, *S / 2^levels, widths[-1]].
    """
    features = StudyEncoder(self.widths)(image)
    latents = (features,)
    dense = self.bottleneck == 'dense'
    check_latent(self.latent if dense else features[0].size, image)
    if dense:
      latents = ToVector(self.latent, self.heads)(features)
    drop = nn.Dropout(self.dropout, deterministic=deterministic)
    return tuple(drop(z) for z in latents)


class StudyDecoding(nn.Module):
  """Network that decodes latents to images: bottleneck and decoder of Baur et al. 2021.

  Attributes:
    shape: Spatial shape of the images, multiples of 2^len(widths).
    channels: Contrasts of the images.
    widths: Encoder widths, which the decoder mirrors.
    bottleneck: One of `BOTTLENECKS`.
    dropout: Dropout rate in [0, 1] after the dense layer of a dense bottleneck.
    norm: Function that creates the decoder's normalisation, see `StudyDecoder`.
  """

  shape: Sequence[int]
  channels: int = 1
  widths: Sequence[int] = WIDTHS
  bottleneck: str = 'dense'
  dropout: float = 0.0
  norm: Callable[[], nn.Module] | None = None

  @nn.compact
  def __call__(self, z: jax.Array, deterministic: bool = True) -> jax.Array:
    """Decodes latents to images [B, *S, channels].

    Args:
      z: Dense [B, Z] or spatial [B, *S / 2^levels, widths[-1]].
      deterministic: Turns dropout off.
    """
    coarse = halved_grid(self.shape, len(self.widths))
    if self.bottleneck == 'dense':
      z = FromVector(coarse, self.widths[-1])(z, self.dropout, deterministic)
    return StudyDecoder(self.channels, mirrored(self.widths), self.norm)(z)


class StudyAutoEncoder(nn.Module):
  """Auto-encoder of Baur et al. 2021 that reconstructs images, without a variance.

  Attributes:
    shape: Spatial shape of the images, multiples of 2^len(widths).
    channels: Contrasts of the images.
    widths: Encoder widths, which the decoder mirrors.
    latent: Values of a dense latent.
    bottleneck: One of `BOTTLENECKS`.
    dropout: Dropout rate in [0, 1] on the latent and in the decoder's dense layer.
  """

  shape: Sequence[int]
  channels: int
  widths: Sequence[int]
  latent: int
  bottleneck: str
  dropout: float = 0.0

  @nn.compact
  def __call__(self, image, position=None, deterministic=True):
    """Encodes and reconstructs images.

    Args:
      image: [B, *S, C].
      position: Not used; `encoder_decoder.AutoEncoder` has the slice height here.
      deterministic: Turns dropout off.

    Returns:
      The latent, the reconstruction [B, *S, C], and None for its log-variance.
    """
    (z,) = StudyEncoding(
      self.widths, self.latent, self.bottleneck, dropout=self.dropout
    )(image, deterministic)
    mean = StudyDecoding(
      self.shape, self.channels, self.widths, self.bottleneck, self.dropout
    )(z, deterministic)
    return z, mean, None
