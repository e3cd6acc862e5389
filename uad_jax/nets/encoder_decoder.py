"""Plain convolutional encoder and decoder for auto-encoders, 2-D and 3-D."""

import math
from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from uad_jax.nets.layers.conv import Conv
from uad_jax.nets.layers.conv_kernels import conv, upsample_conv
from uad_jax.nets.layers.feature_taps import keep
from uad_jax.nets.layers.grid_sizes import check_latent, sizes
from uad_jax.nets.layers.group_norm import GroupNorm
from uad_jax.nets.layers.resample import upsample
from uad_jax.nets.layers.slice_position import everywhere, position_features

LOG_VARIANCE = (-9.0, 2.0)
"""Within which the logarithm of a voxel's predicted variance is kept."""


def finish(x: jax.Array, width: int, vector: jax.Array | None) -> jax.Array:
  """Group normalisation, FiLM by `vector` [B, F] (Perez et al. 2018), swish.

  Called inside a compact module, whose parameters it makes.
  """
  film = None
  if vector is not None:
    film = nn.Dense(2 * width, kernel_init=nn.initializers.zeros)(vector)
  return nn.swish(GroupNorm(-(-width // 8))(x, film))


class Block(nn.Module):
  """3^d convolution, normalised, conditioned and activated."""

  width: int
  stride: int = 1

  @nn.compact
  def __call__(self, x: jax.Array, vector: jax.Array | None = None) -> jax.Array:
    """x [B, *S, C], vector [B, F] to [B, *S / stride, width]."""
    d = x.ndim - 2
    x = Conv(self.width, (3,) * d, self.stride, use_bias=False)(x)
    return finish(x, self.width, vector)


class UpBlock(nn.Module):
  """Linear interpolation to a finer grid and a `Block` there, a skip joined in.

  Where the grid doubles, interpolation and convolution are one convolution of the
  coarse grid (`upsample_conv`); the convolution of the concatenation with the skip is
  the sum of two.
  """

  width: int

  @nn.compact
  def __call__(
    self,
    x: jax.Array,
    grid: Sequence[int],
    skip: jax.Array | None = None,
    vector: jax.Array | None = None,
  ) -> jax.Array:
    """x [B, *S, C], skip [B, *grid, K], vector [B, F] to [B, *grid, width]."""
    d = x.ndim - 2
    shape = (3,) * d + (x.shape[-1], self.width)
    kernel = self.param('kernel', nn.initializers.lecun_normal(), shape)
    doubled = tuple(2 * n for n in x.shape[1:-1])
    if tuple(grid) == doubled:
      y = upsample_conv(x, kernel)
    else:
      y = conv(upsample(x, grid), kernel)
    if skip is not None:
      y = y + Conv(self.width, (3,) * d, use_bias=False)(skip)
    return finish(y, self.width, vector)


class Encoder(nn.Module):
  """Halves the grid once for each width, then a 1^d convolution to the latent."""

  widths: Sequence[int]
  latent: int

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """[B, *S, C] to [B, *S / 2^levels, latent]."""
    for width in self.widths:
      x = Block(width, stride=2)(x)
      keep(self, x)
    return Conv(self.latent, (1,) * (x.ndim - 2))(x)


class Decoder(nn.Module):
  """Doubles the grid once for each width, back to `shape`; gives features, not images.

  It sees nothing but the latent (and the slice height): what the bottleneck did not let
  through cannot reach its output.
  """

  shape: Sequence[int]
  widths: Sequence[int]

  @nn.compact
  def __call__(self, latent: jax.Array, vector: jax.Array | None = None) -> jax.Array:
    """latent [B, *S / 2^levels, Z], vector [B, F] to [B, *S, widths[-1]]."""
    if vector is not None:
      latent = jnp.concatenate([latent, everywhere(vector, latent.shape[1:-1])], -1)
    x = Block(self.widths[0])(latent)
    for grid, width in zip(
      sizes(self.shape, len(self.widths))[-2::-1], self.widths, strict=True
    ):
      x = UpBlock(width)(x, grid, vector=vector)
    return x


class Head(nn.Module):
  """A last 3^d convolution to `channels`, with a small start about `bias`."""

  channels: int
  bias: float = 0.0
  scale: float = 1e-2

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """[B, *S, C] to [B, *S, channels]."""
    shape = (3,) * (x.ndim - 2) + (x.shape[-1], self.channels)
    start = nn.initializers.variance_scaling(self.scale, 'fan_in', 'normal')
    kernel = self.param('kernel', start, shape)
    bias = self.param('bias', nn.initializers.constant(self.bias), (self.channels,))
    return conv(x, kernel) + bias.reshape((1,) * (x.ndim - 1) + (-1,))


LATENT_LOG_VARIANCE = (-12.0, 6.0)


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


class AutoEncoder(nn.Module):
  """Encoder, bottleneck, decoder, and heads for the mean and its log-variance."""

  shape: Sequence[int]
  channels: int
  widths: Sequence[int]
  latent: int
  bottleneck: str
  position: bool
  dropout: float = 0.0

  @nn.compact
  def __call__(self, image, position, deterministic=True):
    """[B, *S, C] and [B] to the latent, the mean [B, *S, C] and its log-variance."""
    where = position_features(position) if self.position else None
    drop = nn.Dropout(self.dropout, deterministic=deterministic)
    z = Encoder(self.widths, self.latent)(image)
    dense = self.bottleneck == 'dense'
    check_latent(8 * self.latent if dense else z[0].size, image)
    if dense:
      grid = sizes(self.shape, len(self.widths))[-1]
      z = drop(nn.Dense(8 * self.latent)(z.reshape(len(z), -1)))
      wide = nn.swish(nn.Dense(math.prod(grid) * self.latent)(z))
      features = Decoder(self.shape, self.widths[::-1])(
        drop(wide).reshape(len(z), *grid, self.latent), where
      )
    else:
      z = drop(z)
      features = Decoder(self.shape, self.widths[::-1])(z, where)
    mean = Head(self.channels)(features)
    log_variance = Head(self.channels, bias=-4.0)(jax.lax.stop_gradient(features))
    return z, mean, jnp.clip(log_variance, *LOG_VARIANCE)
