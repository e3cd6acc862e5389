"""The time-conditioned U-Net of diffusion models, 2-D and 3-D.

Ho et al. 2020 with the residual blocks of Dhariwal & Nichol 2021: group normalisation,
scale and shift by the time, attention on coarse grids.
"""

import math
from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from uad_jax.nets.encoder_decoder import Head
from uad_jax.nets.layers.conv import Conv
from uad_jax.nets.layers.group_norm import GroupNorm
from uad_jax.nets.layers.resample import upsample


def time_features(time: jax.Array, size: int, longest: float = 1e4) -> jax.Array:
  """sin and cos of the time at `size` / 2 frequencies from 1 to 1 / longest; [B, size].

  Args:
    time: [B], in steps of a schedule of about a thousand.
    size: Even.
    longest: Ratio of the frequencies (Vaswani et al. 2017).
  """
  frequency = jnp.exp(-math.log(longest) * jnp.arange(size // 2) / (size // 2))
  angle = time[:, None] * frequency[None]
  return jnp.concatenate([jnp.sin(angle), jnp.cos(angle)], -1)


def normalise(x: jax.Array, film: jax.Array | None = None) -> jax.Array:
  """Group normalisation, inside a compact module: at most 32 groups of at least 4.

  A channel alone in its group would lose its mean and with it the level of the noise.
  """
  return GroupNorm(math.gcd(32, max(1, x.shape[-1] // 4)))(x, film)


class Residual(nn.Module):
  """Two 3^d convolutions beside a short cut, the second scaled and shifted by the time.

  The second starts at zero, so that the block starts as its short cut.
  """

  width: int

  @nn.compact
  def __call__(self, x: jax.Array, vector: jax.Array) -> jax.Array:
    """x [B, *S, C], vector [B, F] to [B, *S, width]."""
    d = x.ndim - 2
    y = Conv(self.width, (3,) * d)(nn.swish(normalise(x)))
    film = nn.Dense(2 * self.width)(nn.swish(vector))
    y = nn.swish(normalise(y, film))
    y = Conv(self.width, (3,) * d, kernel_init=nn.initializers.zeros)(y)
    if x.shape[-1] != self.width:
      x = Conv(self.width, (1,) * d)(x)
    return x + y


class Attention(nn.Module):
  """Self-attention over all voxels of the grid, added to what it was given."""

  heads: int

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """[B, *S, C] to the same."""
    flat = normalise(x).reshape(len(x), -1, x.shape[-1])
    attend = nn.MultiHeadDotProductAttention(
      self.heads, out_kernel_init=nn.initializers.zeros
    )
    return x + attend(flat).reshape(x.shape)


class DiffusionUNet(nn.Module):
  """What noise is in an image at a given time; any grid, the levels round up.

  Attributes:
    widths: Channels by level, finest first.
    channels: Channels of the result.
    blocks: Residual blocks by level on the way down; one more on the way up.
    attention: Longest edge of the grids on which it attends; 0 for none.
    heads: Of the attention; the widths are multiples of it.
  """

  widths: Sequence[int]
  channels: int
  blocks: int = 2
  attention: int = 16
  heads: int = 2

  @nn.compact
  def __call__(
    self, x: jax.Array, time: jax.Array, vector: jax.Array | None = None
  ) -> jax.Array:
    """x [B, *S, C], time [B], vector [B, F] to [B, *S, channels]."""
    d, size = x.ndim - 2, 4 * self.widths[0]
    when = nn.Dense(size)(time_features(time, 2 * (self.widths[0] // 2)))
    if vector is not None:
      when = when + nn.Dense(size, use_bias=False)(vector)
    when = nn.Dense(size)(nn.swish(when))

    def stage(x, width):
      x = Residual(width)(x, when)
      return Attention(self.heads)(x) if max(x.shape[1:-1]) <= self.attention else x

    x = Conv(self.widths[0], (3,) * d)(x)
    skips = [x]
    for level, width in enumerate(self.widths):
      if level:
        x = Conv(x.shape[-1], (3,) * d, 2)(x)
        skips.append(x)
      for _ in range(self.blocks):
        x = stage(x, width)
        skips.append(x)
    x = Residual(self.widths[-1])(stage(x, self.widths[-1]), when)
    for level, width in reversed(list(enumerate(self.widths))):
      for _ in range(self.blocks + 1):
        x = stage(jnp.concatenate([x, skips.pop()], -1), width)
      if level:
        x = Conv(width, (3,) * d)(upsample(x, skips[-1].shape[1:-1]))
    return Head(self.channels)(nn.swish(normalise(x)))
