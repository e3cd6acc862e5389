"""Network that decodes a template image from an attribute of the scan."""

import math
from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from uad_jax.nets.layers.resample import double
from uad_jax.nets.morphaeus import Conv

Array = jax.Array


class TemplateDecoder(nn.Module):
  """Change of a template by voxel and by attribute (Dalca et al. 2019).

  An image of free voxels, plus an image decoded from the attribute: a linear layer to a
  grid of 1 / 2^levels the size, then at each level the grid doubled and a convolution
  of edge 3 with leaky ReLU, and a last convolution to the channels. Both are zero at
  the start.

  Attributes:
    shape: Spatial shape S of the template.
    channels: Channels of the template.
    widths: Widths of the linear layer and of the convolutions from coarse to fine; ()
      gives the free voxels alone.
  """

  shape: tuple[int, ...]
  channels: int
  widths: Sequence[int]

  @nn.compact
  def __call__(self, attribute: Array) -> Array:
    """Maps attributes [B] in [0, 1] to images [B, *S, C]."""
    zeros, number = nn.initializers.zeros, len(attribute)
    free = self.param('image', zeros, (*self.shape, self.channels))
    image = jnp.tile(free[None], (number, *(1 for _ in free.shape)))
    if not self.widths:
      return image
    first, *others = self.widths
    coarse = [-(-size // 2 ** len(others)) for size in self.shape]
    x = nn.Dense(first * math.prod(coarse))(2 * attribute[:, None] - 1)
    x = nn.leaky_relu(x.reshape(number, *coarse, first), 0.2)
    for width in others:
      x = nn.leaky_relu(Conv(width)(double(x)), 0.2)
    x = x[:, *(slice(size) for size in self.shape)]
    return image + Conv(self.channels, kernel_init=zeros, name='change')(x)
