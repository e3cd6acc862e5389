"""Encoder and decoder without any constant term (Deep SVDD, Ruff et al. 2018).

A network with biases could map every image to the centre of the sphere by its biases
alone; so could one whose activations are bounded.
"""

from collections.abc import Sequence

import flax.linen as nn
import jax

from uad_jax.nets.layers.conv import Conv
from uad_jax.nets.layers.resample import upsample

SLOPE = 0.1
"""Slope of the activation for negative values."""


class OneClassEncoder(nn.Module):
  """Convolutions that halve the grid, without biases.

  Attributes:
    widths: Channels after each halving.
  """

  widths: Sequence[int]

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Maps images [B, *S, C] to features [B, *S / 2^n, widths[-1]]."""
    edge = (3,) * (x.ndim - 2)
    for level, width in enumerate(self.widths):
      x = nn.leaky_relu(x, SLOPE) if level else x
      x = Conv(width, edge, use_bias=False)(x)
      x = Conv(width, edge, strides=2, use_bias=False)(nn.leaky_relu(x, SLOPE))
    return x


class OneClassDecoder(nn.Module):
  """Interpolations and convolutions back to an image, without biases.

  Attributes:
    widths: Channels at each resolution, the finest first.
    channels: Channels of the image.
  """

  widths: Sequence[int]
  channels: int

  @nn.compact
  def __call__(self, x: jax.Array, shape: Sequence[int]) -> jax.Array:
    """Maps features to images [B, *shape, channels]."""
    d = x.ndim - 2
    grids = [tuple(shape)]
    for _ in self.widths[1:]:
      grids.append(tuple(-(-n // 2) for n in grids[-1]))
    for grid, width in zip(reversed(grids), reversed(self.widths), strict=True):
      x = upsample(nn.leaky_relu(x, SLOPE), grid)
      x = Conv(width, (3,) * d, use_bias=False)(x)
    x = nn.leaky_relu(x, SLOPE)
    return Conv(self.channels, (1,) * d, use_bias=False)(x)
