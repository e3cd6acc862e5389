"""U-Net (Ronneberger et al. 2015) that can be conditioned on maps and on a vector."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from uad_jax.nets.encoder_decoder import Block, Head, UpBlock
from uad_jax.nets.layers.feature_taps import keep
from uad_jax.nets.layers.resample import upsample


class UNet(nn.Module):
  """U-Net (Ronneberger et al. 2015) for 2-D and 3-D images of any size.

  Its blocks are those of `encoder_decoder`; halvings of the grid round up.

  Attributes:
    widths: Channels by level, finest first.
    channels: Output channels.
    head_scale: Variance scale of the output layer's initial kernel; small means that
      the output starts near zero.
    blocks: Convolutions of each level, in the encoder and in the decoder.
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
    """Maps images to [B, *S, channels].

    Args:
      x: [B, *S, C].
      maps: Condition [B, *S, M], resized and concatenated at every level, or None.
      vector: Condition [B, F] for FiLM, or None.
    """

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
