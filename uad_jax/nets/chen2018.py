"""Residual encoder and decoder between an image and one vector, 2-D and 3-D.

After Chen & Konukoglu 2018 (arXiv 1806.04972): four blocks each way, widths 16 to 256
and back, slope 0.2. Their text leaves the blocks open; normalisation (a layer
normalisation over the grid) and the shortcuts down (averaged by twos) are those with
which the comparative study of Baur et al. (Medical Image Analysis 69, 2021) repeats the
network. The shortcuts up repeat voxels, where that has transposed convolutions, and the
last convolution is of 3^d and not normalised before, where that is of 1^d and is.
"""

import math
from collections.abc import Sequence

import flax.linen as nn
import jax

from uad_jax.nets.critic import SLOPE
from uad_jax.nets.layers.conv import Conv
from uad_jax.nets.layers.feature_taps import keep
from uad_jax.nets.layers.grid_norm import GridNorm
from uad_jax.nets.layers.grid_sizes import check_latent, halved_grid
from uad_jax.nets.layers.resample import double, halve


class Residual(nn.Module):
  """Twice normalised, activated and convolved, added to a shortcut.

  `up` doubles the grid before the first convolution, else the second halves it.
  """

  width: int
  up: bool

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """[B, *S, C] to [B, *(2 S), width] or [B, *S / 2, width]."""
    d = x.ndim - 2
    shortcut = Conv(self.width, (1,) * d)(double(x) if self.up else halve(x))
    y = nn.leaky_relu(GridNorm()(x), SLOPE)
    y = Conv(self.width, (3,) * d)(double(y) if self.up else y)
    y = nn.leaky_relu(GridNorm()(y), SLOPE)
    return shortcut + Conv(self.width, (3,) * d, 1 if self.up else 2)(y)


class ResidualEncoder(nn.Module):
  """A convolution to half the first width, a block for each width, a dense layer."""

  widths: Sequence[int] = (32, 64, 128, 256)
  latent: int = 128

  @nn.compact
  def __call__(self, x: jax.Array) -> tuple[jax.Array]:
    """[B, *S, C] to (z,), z [B, latent]."""
    halved_grid(x.shape[1:-1], len(self.widths))  # refuses those that cannot be halved
    check_latent(self.latent, x)
    x = Conv(self.widths[0] // 2, (3,) * (x.ndim - 2))(x)
    for width in self.widths:
      x = Residual(width, up=False)(x)
      keep(self, x)
    return (nn.Dense(self.latent)(x.reshape(len(x), -1)),)


class ResidualDecoder(nn.Module):
  """A dense layer to the coarse grid, a convolution, blocks of half the widths."""

  shape: Sequence[int]
  channels: int = 1
  widths: Sequence[int] = (32, 64, 128, 256)
  dropout: float = 0.0

  @nn.compact
  def __call__(self, z: jax.Array, deterministic: bool = True) -> jax.Array:
    """[B, Z] to [B, *shape, channels], linear; dropout after the dense layer."""
    coarse, d = halved_grid(self.shape, len(self.widths)), len(self.shape)
    x = nn.Dense(math.prod(coarse) * self.widths[-1])(z)
    x = nn.Dropout(self.dropout, deterministic=deterministic)(x)
    x = x.reshape(len(x), *coarse, self.widths[-1])
    x = Conv(self.widths[-1] // 2, (3,) * d)(x)
    for width in self.widths[::-1]:
      x = Residual(width // 2, up=True)(x)
    return Conv(self.channels, (3,) * d)(nn.leaky_relu(x, SLOPE))
