"""U-Net (Ronneberger et al. 2015), conditioned by maps and by a vector."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from uad_jax.nets.encoder_decoder import Block, Head, UpBlock
from uad_jax.nets.layers.feature_taps import keep
from uad_jax.nets.layers.resample import upsample


class UNet(nn.Module):
  """Blocks down and up the levels; any grid, the levels round up.

  Attributes:
    widths: Channels by level, finest first.
    channels: Channels of the result.
    head_scale: Variance scale of the last convolution's start; small means near zero.
    blocks: Convolutions at each level, on the way down and on the way up.
  """

  widths: Sequence[int]
  channels: int
  head_scale: float = 1e-2
  blocks: int = 1

  @nn.compact
  def __call__(
    self,
    x: jax.Array,
    maps: jax.Array | None = None,
    vector: jax.Array | None = None,
  ) -> jax.Array:
    """x [B, *S, C], maps [B, *S, M], vector [B, F] to [B, *S, channels]."""

    def conditioned(x):
      if maps is None:
        return x
      return jnp.concatenate([x, upsample(maps, x.shape[1:-1])], -1)

    skips = []
    for level, width in enumerate(self.widths):
      x = Block(width, stride=1 if level == 0 else 2)(conditioned(x), vector)
      for _ in range(1, self.blocks):
        x = Block(width)(x, vector)
      skips.append(x)
      keep(self, x)
    x = Block(self.widths[-1])(conditioned(x), vector)
    for skip, width in zip(skips[-2::-1], self.widths[-2::-1], strict=True):
      x = UpBlock(width)(x, skip.shape[1:-1], conditioned(skip), vector)
      for _ in range(1, self.blocks):
        x = Block(width)(x, vector)
    return Head(self.channels, scale=self.head_scale)(x)
