"""A codebook that follows its codes by exponential averages, and the nets about it.

van den Oord et al., "Neural discrete representation learning", NeurIPS 2017, appendix
A.1. K codes of D values.
"""

from collections.abc import Sequence

import flax.linen as nn
import jax

from uad_jax.nets.layers.conv import Conv
from uad_jax.nets.layers.conv_transpose import ConvTranspose
from uad_jax.nets.layers.feature_taps import keep

Array = jax.Array


class Residual(nn.Module):
  """x + conv1(relu(conv3(relu(x))))."""

  width: int

  @nn.compact
  def __call__(self, x: Array) -> Array:
    """[B, *S, width] to the same shape."""
    d = x.ndim - 2
    y = nn.relu(Conv(self.width, (3,) * d)(nn.relu(x)))
    return x + Conv(self.width, (1,) * d)(y)


class VQEncoder(nn.Module):
  """Convolutions of 4^d, stride 2, residual units after each, then to D values."""

  widths: Sequence[int]
  size: int
  units: int = 2

  @nn.compact
  def __call__(self, x: Array) -> Array:
    """[B, *S, C] to [B, *S / 2^levels, D]."""
    d = x.ndim - 2
    for width in self.widths:
      x = nn.relu(Conv(width, (4,) * d, 2)(x))
      for _ in range(self.units):
        x = Residual(width)(x)
      keep(self, x)
    return Conv(self.size, (1,) * d)(nn.relu(x))


class VQDecoder(nn.Module):
  """The mirror of `VQEncoder`, by transposed convolutions of 4^d."""

  widths: Sequence[int]
  channels: int
  units: int = 2

  @nn.compact
  def __call__(self, z: Array) -> Array:
    """[B, *S / 2^levels, D] to [B, *S, C]."""
    d = z.ndim - 2
    x = Conv(self.widths[0], (3,) * d)(z)
    for place, width in enumerate(self.widths):
      for _ in range(self.units):
        x = Residual(x.shape[-1])(x)
      last = place == len(self.widths) - 1
      after = width if last else self.widths[place + 1]
      x = nn.relu(ConvTranspose(after, edge=4)(nn.relu(x)))
    return Conv(self.channels, (1,) * d)(x)
