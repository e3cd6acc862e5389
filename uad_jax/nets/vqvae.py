"""Encoder and decoder of the vector-quantised auto-encoder (VQ-VAE), 2-D and 3-D.

van den Oord et al., "Neural discrete representation learning", NeurIPS 2017, appendix
A.1. The codebook, K codes of D values, is in `ops.codebook`.
"""

from collections.abc import Sequence

import flax.linen as nn
import jax

from uad_jax.nets.layers.conv import Conv
from uad_jax.nets.layers.conv_transpose import ConvTranspose
from uad_jax.nets.layers.feature_taps import keep

Array = jax.Array


class Residual(nn.Module):
  """Residual unit of the VQ-VAE with two convolutions, of kernel edge 3 and 1.

  x + conv1(relu(conv3(relu(x)))).

  Attributes:
    width: Channels of input and output.
  """

  width: int

  @nn.compact
  def __call__(self, x: Array) -> Array:
    """Maps features [B, *S, width] to features of the same shape."""
    d = x.ndim - 2
    y = nn.relu(Conv(self.width, (3,) * d)(nn.relu(x)))
    return x + Conv(self.width, (1,) * d)(y)


class VQEncoder(nn.Module):
  """VQ-VAE encoder: convolutions that halve the grid, each followed by residual units.

  The convolutions have kernel edge 4 and stride 2.

  Attributes:
    widths: Channels after each halving of the grid.
    size: Values of a code, D.
    units: Residual units after each convolution.
  """

  widths: Sequence[int]
  size: int
  units: int = 2

  @nn.compact
  def __call__(self, x: Array) -> Array:
    """Encodes images [B, *S, C] to vectors [B, *S / 2^levels, D], to be quantised."""
    d = x.ndim - 2
    for width in self.widths:
      x = nn.relu(Conv(width, (4,) * d, 2)(x))
      for _ in range(self.units):
        x = Residual(width)(x)
      keep(self, x)
    return Conv(self.size, (1,) * d)(nn.relu(x))


class VQDecoder(nn.Module):
  """VQ-VAE decoder: residual units and transposed convolutions that double the grid.

  The transposed convolutions have kernel edge 4 and stride 2.

  Attributes:
    widths: Channels before each doubling of the grid, coarsest first.
    channels: Contrasts of the images.
    units: Residual units before each transposed convolution.
  """

  widths: Sequence[int]
  channels: int
  units: int = 2

  @nn.compact
  def __call__(self, z: Array) -> Array:
    """Decodes quantised vectors [B, *S / 2^levels, D] to images [B, *S, channels]."""
    d = z.ndim - 2
    x = Conv(self.widths[0], (3,) * d)(z)
    for place, width in enumerate(self.widths):
      for _ in range(self.units):
        x = Residual(x.shape[-1])(x)
      last = place == len(self.widths) - 1
      after = width if last else self.widths[place + 1]
      x = nn.relu(ConvTranspose(after, edge=4)(nn.relu(x)))
    return Conv(self.channels, (1,) * d)(x)
