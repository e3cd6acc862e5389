"""The one architecture of the comparative study, 2-D and 3-D.

Baur et al., "Autoencoders for unsupervised anomaly segmentation in brain MR images: a
comparative study", Medical Image Analysis 69, 2021. Convolutions of 5^d, stride 2,
leaky ReLU of slope 0.3 and, as in the paper's results, no normalisation. At 128 x 128
with a grid of 8 x 8 the dense auto-encoder has 1 625 777 parameters, the spatial one
1 358 241, the variational one 1 756 977.
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
WIDTHS = (32, 64, 128, 128)
BOTTLENECKS = ('dense', 'spatial')


def mirrored(widths: Sequence[int]) -> tuple[int, ...]:
  """The decoder's widths: halved from the encoder's last, not below its first."""
  return tuple(max(widths[0], widths[-1] // 2**i) for i in range(len(widths)))


class StudyEncoder(nn.Module):
  """Convolutions of 5^d that halve the grid once for each width."""

  widths: Sequence[int] = WIDTHS

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """[B, *S, C] to [B, *S / 2^levels, widths[-1]]."""
    for width in self.widths:
      x = nn.leaky_relu(Conv(width, (5,) * (x.ndim - 2), 2)(x), SLOPE)
      keep(self, x)
    return x


class ToVector(nn.Module):
  """A 1^d convolution to an eighth of the channels, then dense to `size` values each.

  Several heads (mean, log deviation) share the convolution.
  """

  size: int
  heads: int = 1

  @nn.compact
  def __call__(self, x: jax.Array) -> tuple[jax.Array, ...]:
    """[B, *S, C] to `heads` times [B, size]."""
    x = Conv(x.shape[-1] // 8, (1,) * (x.ndim - 2))(x)
    x = x.reshape(len(x), -1)
    return tuple(nn.Dense(self.size)(x) for _ in range(self.heads))


class FromVector(nn.Module):
  """Dense to the bottleneck's grid, then a 1^d convolution to its channels."""

  grid: Sequence[int]
  width: int = WIDTHS[-1]

  @nn.compact
  def __call__(
    self, z: jax.Array, rate: float = 0.0, deterministic: bool = True
  ) -> jax.Array:
    """[B, Z] to [B, *grid, width], with dropout of `rate` after the dense layer."""
    narrow = self.width // 8
    x = nn.Dense(math.prod(self.grid) * narrow)(z)
    x = nn.Dropout(rate, deterministic=deterministic)(x)
    x = x.reshape(len(x), *self.grid, narrow)
    return Conv(self.width, (1,) * len(self.grid))(x)


class StudyDecoder(nn.Module):
  """ReLU, transposed convolutions of 5^d that double the grid, and a linear output.

  `norm` makes the normalisation before each activation that generators have.
  """

  channels: int = 1
  widths: Sequence[int] = (128, 64, 32, 32)
  norm: Callable[[], nn.Module] | None = None

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """[B, *S, C] to [B, *S * 2^levels, channels]."""
    d = x.ndim - 2
    x = nn.relu(self.norm()(x) if self.norm else x)
    for width in self.widths:
      x = ConvTranspose(width)(x)
      x = nn.leaky_relu(self.norm()(x) if self.norm else x, SLOPE)
    return Conv(self.channels, (1,) * d)(x)


class StudyEncoding(nn.Module):
  """Encoder and bottleneck, with dropout after the bottleneck's layers.

  Attributes:
    widths: Of the encoder.
    latent: Values of a dense latent; a spatial one is the encoder's last features.
    bottleneck: From `BOTTLENECKS`.
    heads: Number of dense latents (mean, log deviation).
    dropout: Rate.
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
    """[B, *S, C] to [B, Z] for each head, or to one [B, *S / 2^levels, widths[-1]]."""
    features = StudyEncoder(self.widths)(image)
    latents = (features,)
    dense = self.bottleneck == 'dense'
    check_latent(self.latent if dense else features[0].size, image)
    if dense:
      latents = ToVector(self.latent, self.heads)(features)
    drop = nn.Dropout(self.dropout, deterministic=deterministic)
    return tuple(drop(z) for z in latents)


class StudyDecoding(nn.Module):
  """From a dense or spatial latent back to the image, the way of `StudyEncoding`."""

  shape: Sequence[int]
  channels: int = 1
  widths: Sequence[int] = WIDTHS
  bottleneck: str = 'dense'
  dropout: float = 0.0
  norm: Callable[[], nn.Module] | None = None

  @nn.compact
  def __call__(self, z: jax.Array, deterministic: bool = True) -> jax.Array:
    """[B, Z] or [B, *S / 2^levels, widths[-1]] to [B, *S, channels]."""
    coarse = halved_grid(self.shape, len(self.widths))
    if self.bottleneck == 'dense':
      z = FromVector(coarse, self.widths[-1])(z, self.dropout, deterministic)
    return StudyDecoder(self.channels, mirrored(self.widths), self.norm)(z)


class StudyAutoEncoder(nn.Module):
  """The auto-encoder of the comparative study; it has no head for the variance."""

  shape: Sequence[int]
  channels: int
  widths: Sequence[int]
  latent: int
  bottleneck: str
  dropout: float = 0.0

  @nn.compact
  def __call__(self, image, position=None, deterministic=True):
    """[B, *S, C] to the latent, the mean [B, *S, C] and None; reads no position."""
    (z,) = StudyEncoding(
      self.widths, self.latent, self.bottleneck, dropout=self.dropout
    )(image, deterministic)
    mean = StudyDecoding(
      self.shape, self.channels, self.widths, self.bottleneck, self.dropout
    )(z, deterministic)
    return z, mean, None
