"""U-Net that predicts the noise in diffusion models, for 2-D and 3-D images.

After Ho et al. 2020 with the residual blocks of Dhariwal & Nichol 2021: group
normalisation, scale and shift from the time step, self-attention on coarse grids.
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
  """Computes sine and cosine features of diffusion time steps (Vaswani et al. 2017).

  sin(f_k t) and cos(f_k t) with f_k = longest^(-2 k / size), k = 0, ..., size / 2 - 1.

  Args:
    time: Time steps t [B], of a schedule of about a thousand steps.
    size: Number of features, even.
    longest: 1 / longest is the limit of the lowest frequency.

  Returns:
    [B, size], first the sines and then the cosines.
  """
  frequency = jnp.exp(-math.log(longest) * jnp.arange(size // 2) / (size // 2))
  angle = time[:, None] * frequency[None]
  return jnp.concatenate([jnp.sin(angle), jnp.cos(angle)], -1)


def normalise(x: jax.Array, film: jax.Array | None = None) -> jax.Array:
  """Applies group normalisation to features, then scales and shifts them (FiLM).

  At most 32 groups of at least 4 channels. To be called inside a compact module, which
  gets the parameters. A channel alone in its group would lose its mean and with it the
  level of the noise.

  Args:
    x: Features [B, *S, C].
    film: Scale and shift [B, 2 C] after the normalisation, see `GroupNorm`.
  """
  return GroupNorm(math.gcd(32, max(1, x.shape[-1] // 4)))(x, film)


class Residual(nn.Module):
  """Residual block of two convolutions, conditioned on an embedding of the time step.

  The normalisation before the second convolution is scaled and shifted (FiLM). The
  second convolution starts at zero, so that the block starts as its shortcut.

  Attributes:
    width: Output channels.
  """

  width: int

  @nn.compact
  def __call__(self, x: jax.Array, vector: jax.Array) -> jax.Array:
    """Maps features [B, *S, C] and an embedding [B, F] to features [B, *S, width]."""
    d = x.ndim - 2
    y = Conv(self.width, (3,) * d)(nn.swish(normalise(x)))
    film = nn.Dense(2 * self.width)(nn.swish(vector))
    y = nn.swish(normalise(y, film))
    y = Conv(self.width, (3,) * d, kernel_init=nn.initializers.zeros)(y)
    if x.shape[-1] != self.width:
      x = Conv(self.width, (1,) * d)(x)
    return x + y


class Attention(nn.Module):
  """Residual self-attention layer, in which every voxel attends to all voxels.

  Attributes:
    heads: Number of attention heads, which divides the channels.
  """

  heads: int

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Maps features [B, *S, C] to features of the same shape."""
    flat = normalise(x).reshape(len(x), -1, x.shape[-1])
    attend = nn.MultiHeadDotProductAttention(
      self.heads, out_kernel_init=nn.initializers.zeros
    )
    return x + attend(flat).reshape(x.shape)


class DiffusionUNet(nn.Module):
  """U-Net that predicts the noise in an image at a time step of the diffusion.

  The grid may have any size: halvings round up.

  Attributes:
    widths: Channels by level, finest first.
    channels: Output channels.
    blocks: Residual blocks of each level of the encoder; the decoder has one more.
    attention: Longest edge, in voxels, of the grids with self-attention; 0 for none.
    heads: Number of attention heads, which divides the widths.
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
    """Predicts the noise.

    Args:
      x: Noisy images [B, *S, C].
      time: Time steps [B].
      vector: Further condition [B, F] (the slice height), added to the time embedding.

    Returns:
      [B, *S, channels].
    """
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
