"""Encoder with feature maps at several resolutions, and the decoder of its pretext."""

import math
from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from uad_jax.nets.layers.conv import Conv
from uad_jax.nets.layers.group_norm import GroupNorm
from uad_jax.nets.layers.resample import upsample

Array = jax.Array


class Unit(nn.Module):
  """Convolution of edge 3, group normalisation and swish.

  Attributes:
    width: Channels.
    stride: Stride of each spatial axis.
  """

  width: int
  stride: int = 1

  @nn.compact
  def __call__(self, x: Array) -> Array:
    """Maps [B, *S, C] to [B, *S / stride, width]."""
    x = Conv(self.width, (3,) * (x.ndim - 2), strides=self.stride)(x)
    return nn.swish(GroupNorm(math.gcd(8, self.width))(x))


class FeaturePyramid(nn.Module):
  """Encoder that returns its feature maps at each resolution.

  At each level a convolution halves the grid, and a residual one follows.

  Attributes:
    widths: Channels of the levels, from fine to coarse.
  """

  widths: Sequence[int]

  @nn.compact
  def __call__(self, x: Array) -> list[Array]:
    """Maps images [B, *S, C] to maps [B, *S / 2^l, widths[l - 1]], l = 1, 2, ..."""
    maps = []
    for width in self.widths:
      x = Unit(width, 2)(x)
      x = x + Unit(width)(x)
      maps.append(x)
    return maps


class PyramidDecoder(nn.Module):
  """Decoder from the maps of a pyramid to an image, from coarse to fine.

  Attributes:
    widths: Channels of its levels, from fine to coarse.
    channels: Channels of the image.
  """

  widths: Sequence[int]
  channels: int

  @nn.compact
  def __call__(self, maps: Sequence[Array], shape: Sequence[int]) -> Array:
    """Maps feature maps to an image [B, *shape, channels]."""
    x = maps[-1]
    for features, width in zip(maps[-2::-1], self.widths[::-1], strict=False):
      x = jnp.concatenate([upsample(x, features.shape[1:-1]), features], -1)
      x = Unit(width)(x)
    x = Unit(self.widths[0])(upsample(x, shape))
    return Conv(self.channels, (3,) * (x.ndim - 2))(x)
