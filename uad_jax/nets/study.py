"""The one architecture of the comparative study, 2-D and 3-D.

Baur et al., "Autoencoders for unsupervised anomaly segmentation in brain MR images: a
comparative study", Medical Image Analysis 69, 2021. Convolutions of 5^d, stride 2,
leaky ReLU of slope 0.3 and, as in the paper's results, no normalisation. At 128 x 128
with a grid of 8 x 8 the dense auto-encoder has 1 625 777 parameters, the spatial one
1 358 241, the variational one 1 756 977.
"""

import math
from collections.abc import Sequence

import flax.linen as nn
import jax

SLOPE = 0.3
WIDTHS = (32, 64, 128, 128)


def grid(shape: Sequence[int], levels: int) -> tuple[int, ...]:
  """The bottleneck's grid; a shape that does not halve `levels` times is refused."""
  if any(n % 2**levels for n in shape):
    raise ValueError(
      f'the shape {tuple(shape)} cannot be halved {levels} times; allowed are '
      f'multiples of {2**levels}'
    )
  return tuple(n // 2**levels for n in shape)


class StudyEncoder(nn.Module):
  """Convolutions of 5^d that halve the grid once for each width."""

  widths: Sequence[int] = WIDTHS

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """[B, *S, C] to [B, *S / 2^levels, widths[-1]]."""
    for width in self.widths:
      x = nn.leaky_relu(nn.Conv(width, (5,) * (x.ndim - 2), 2)(x), SLOPE)
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
    x = nn.Conv(x.shape[-1] // 8, (1,) * (x.ndim - 2))(x)
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
    return nn.Conv(self.width, (1,) * len(self.grid))(x)


class StudyDecoder(nn.Module):
  """ReLU, transposed convolutions of 5^d that double the grid, and a linear output."""

  channels: int = 1
  widths: Sequence[int] = (128, 64, 32, 32)

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """[B, *S, C] to [B, *S * 2^levels, channels]."""
    d = x.ndim - 2
    x = nn.relu(x)
    for width in self.widths:
      x = nn.leaky_relu(nn.ConvTranspose(width, (5,) * d, (2,) * d)(x), SLOPE)
    return nn.Conv(self.channels, (1,) * d)(x)
