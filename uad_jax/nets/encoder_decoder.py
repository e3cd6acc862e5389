"""Convolutional encoder, decoder and auto-encoder for 2-D or 3-D images of any size."""

import math
from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from uad_jax.nets.layers.conv import Conv
from uad_jax.nets.layers.conv_doubling import upsample_conv
from uad_jax.nets.layers.conv_kernels import conv
from uad_jax.nets.layers.feature_taps import keep
from uad_jax.nets.layers.grid_sizes import check_latent, sizes
from uad_jax.nets.layers.group_norm import GroupNorm
from uad_jax.nets.layers.resample import upsample
from uad_jax.nets.layers.slice_position import everywhere, position_features

LOG_VARIANCE = (-9.0, 2.0)
"""Range to which the predicted log-variance of a voxel is clipped."""

LATENT_LOG_VARIANCE = (-12.0, 6.0)
"""Range to which the log-variance of a latent value is clipped."""


def normalised_swish(x: jax.Array, width: int, vector: jax.Array | None) -> jax.Array:
  """Applies group normalisation, FiLM (feature-wise modulation) and swish to features.

  FiLM is that of Perez et al. 2018. Call it in a compact module, which gets parameters.

  Args:
    x: Features [B, *S, width].
    width: Channels, divisible by the number of groups (width / 8 rounded up).
    vector: Condition [B, F] from which scale and shift are computed; None without FiLM.
  """
  film = None
  if vector is not None:
    film = nn.Dense(2 * width, kernel_init=nn.initializers.zeros)(vector)
  return nn.swish(GroupNorm(-(-width // 8))(x, film))


class Block(nn.Module):
  """Block of a 3 x 3 (x 3) convolution, group normalisation, FiLM and swish.

  Attributes:
    width: Output channels.
    stride: Stride of the convolution; the grid is divided by it, rounded up.
  """

  width: int
  stride: int = 1

  @nn.compact
  def __call__(self, x: jax.Array, vector: jax.Array | None = None) -> jax.Array:
    """Maps features [B, *S, C] and a condition [B, F] to [B, *S / stride, width]."""
    d = x.ndim - 2
    x = Conv(self.width, (3,) * d, self.stride, use_bias=False)(x)
    return normalised_swish(x, self.width, vector)


class UpBlock(nn.Module):
  """Decoder block that upsamples features, concatenates skip features and convolves.

  Normalisation and swish follow as in `Block`. Where the grid doubles, interpolation
  and convolution are one convolution of the coarse grid (`upsample_conv`).

  Attributes:
    width: Output channels.
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
    """Maps features on a coarse grid to features [B, *grid, width].

    Args:
      x: Features [B, *S, C] on the coarse grid.
      grid: Spatial shape of the finer grid.
      skip: Features [B, *grid, K] of the skip connection, or None.
      vector: Condition [B, F] for FiLM, or None.
    """
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
    return normalised_swish(y, self.width, vector)


class Encoder(nn.Module):
  """Convolutional encoder that maps images to latent maps of lower resolution.

  Attributes:
    widths: Channels of the blocks, each of which halves the grid.
    latent: Channels of the latent maps, from a last 1 x 1 (x 1) convolution.
  """

  widths: Sequence[int]
  latent: int

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Encodes images [B, *S, C] to latent maps [B, *S / 2^levels, latent]."""
    for width in self.widths:
      x = Block(width, stride=2)(x)
      keep(self, x)
    return Conv(self.latent, (1,) * (x.ndim - 2))(x)


class Decoder(nn.Module):
  """Decoder that turns latent maps into features at the resolution of the image.

  A `Head` follows. For each width an `UpBlock` doubles the grid. The decoder sees only
  the latent and the slice height: what the bottleneck stops cannot return.

  Attributes:
    shape: Spatial shape of the images.
    widths: Channels after each doubling of the grid, coarsest first.
  """

  shape: Sequence[int]
  widths: Sequence[int]

  @nn.compact
  def __call__(self, latent: jax.Array, vector: jax.Array | None = None) -> jax.Array:
    """Decodes latent maps to features [B, *S, widths[-1]].

    Args:
      latent: [B, *S / 2^levels, Z].
      vector: Features of the slice height [B, F], or None.
    """
    if vector is not None:
      latent = jnp.concatenate([latent, everywhere(vector, latent.shape[1:-1])], -1)
    x = Block(self.widths[0])(latent)
    for grid, width in zip(
      sizes(self.shape, len(self.widths))[-2::-1], self.widths, strict=True
    ):
      x = UpBlock(width)(x, grid, vector=vector)
    return x


class Head(nn.Module):
  """Output layer: a convolution whose result is close to `bias` when training starts.

  Attributes:
    channels: Output channels.
    bias: Initial bias.
    scale: Variance scale of the initial kernel; small makes the output start at `bias`.
  """

  channels: int
  bias: float = 0.0
  scale: float = 1e-2

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Maps features [B, *S, C] to [B, *S, channels]."""
    shape = (3,) * (x.ndim - 2) + (x.shape[-1], self.channels)
    start = nn.initializers.variance_scaling(self.scale, 'fan_in', 'normal')
    kernel = self.param('kernel', start, shape)
    bias = self.param('bias', nn.initializers.constant(self.bias), (self.channels,))
    return conv(x, kernel) + bias.reshape((1,) * (x.ndim - 1) + (-1,))


class Decoding(nn.Module):
  """Decoder p(x | z) that predicts mean and log-variance of each voxel from a latent z.

  Attributes:
    shape: Spatial shape of the images.
    channels: Contrasts of the images.
    widths: Channels after each doubling of the grid, coarsest first.
  """

  shape: Sequence[int]
  channels: int
  widths: Sequence[int]

  @nn.compact
  def __call__(self, z, height):
    """Decodes latent maps to mean and log-variance, each [B, *S, channels].

    Args:
      z: [B, *S / 2^levels, Z].
      height: Features of the slice height [B, F], or None.
    """
    features = Decoder(self.shape, self.widths)(z, height)
    log_variance = Head(self.channels, bias=-4.0)(features)
    return Head(self.channels)(features), jnp.clip(log_variance, *LOG_VARIANCE)


class AutoEncoder(nn.Module):
  """Auto-encoder that predicts a reconstruction and a log-variance for each voxel.

  The log-variance is that of the residual. Its head reads the decoder's features behind
  a stop-gradient, so that its loss changes neither encoder nor decoder.

  Attributes:
    shape: Spatial shape of the images.
    channels: Contrasts of the images.
    widths: Encoder widths, one for each halving of the grid; the decoder mirrors them.
    latent: Channels of the latent maps; a dense latent has 8 times as many values.
    bottleneck: 'spatial' keeps the coarse grid, 'dense' is one vector.
    position: Gives the slice height to the decoder.
    dropout: Dropout rate in [0, 1] on the bottleneck.
    dropout_layer: `nn.Dropout`, or `ConcreteDropout` which learns the rate.
  """

  shape: Sequence[int]
  channels: int
  widths: Sequence[int]
  latent: int
  bottleneck: str
  position: bool
  dropout: float = 0.0
  dropout_layer: type[nn.Module] = nn.Dropout

  @nn.compact
  def __call__(self, image, position, deterministic=True):
    """Encodes and reconstructs images.

    Args:
      image: [B, *S, C].
      position: Slice heights [B] in [0, 1].
      deterministic: Turns dropout off.

    Returns:
      Latent [B, *S / 2^levels, latent] or [B, 8 latent], reconstruction [B, *S, C], its
      log-variance [B, *S, C].
    """
    height = position_features(position) if self.position else None
    drop = self.dropout_layer(self.dropout, deterministic=deterministic)
    z = Encoder(self.widths, self.latent)(image)
    dense = self.bottleneck == 'dense'
    check_latent(8 * self.latent if dense else z[0].size, image)
    if dense:
      grid = sizes(self.shape, len(self.widths))[-1]
      z = drop(nn.Dense(8 * self.latent)(z.reshape(len(z), -1)))
      wide = nn.swish(nn.Dense(math.prod(grid) * self.latent)(z))
      features = Decoder(self.shape, self.widths[::-1])(
        drop(wide).reshape(len(z), *grid, self.latent), height
      )
    else:
      z = drop(z)
      features = Decoder(self.shape, self.widths[::-1])(z, height)
    mean = Head(self.channels)(features)
    log_variance = Head(self.channels, bias=-4.0)(jax.lax.stop_gradient(features))
    return z, mean, jnp.clip(log_variance, *LOG_VARIANCE)
