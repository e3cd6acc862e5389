"""The three networks of the deformable auto-encoder (Bercea et al. 2023, MorphAEus)."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from uad_jax.nets.blocks import Block, Conv

Array = jax.Array


class Encoder(nn.Module):
  """Strided 3^d blocks: [B, *S, C] -> latent [B, *(S / 2^n), widths[-1]], raw outputs.

  The raw convolutions are returned finest first, by level of resolution.
  """

  widths: Sequence[int] = (16, 32, 64, 128, 256, 256, 256)

  @nn.compact
  def __call__(
    self, x: Array, weight: Array, train: bool
  ) -> tuple[Array, tuple[Array, ...]]:
    raws = []
    for i, width in enumerate(self.widths):
      x, raw = Block(width, 'down', name=f'level{i}')(x, weight, train)
      raws.append(raw)
    return x, tuple(raws)


class Decoder(nn.Module):
  """Bilinear doubling and 3^d blocks, then a 1^d convolution and a sigmoid; no skips.

  Level i makes the grid that has been halved i times; the raw convolutions are returned
  finest first, so that `raws[i + 1]` lies on the grid of the encoder's `raws[i]`.
  """

  channels: int = 1
  widths: Sequence[int] = (16, 32, 64, 128, 256, 256, 256)

  @nn.compact
  def __call__(
    self, z: Array, weight: Array, train: bool
  ) -> tuple[Array, tuple[Array, ...]]:
    raws = []
    for i, width in reversed(list(enumerate(self.widths))):
      z, raw = Block(width, 'up', name=f'level{i}')(z, weight, train)
      raws.append(raw)
    image = nn.sigmoid(Conv(self.channels, size=1, name='head')(z))
    return image, tuple(reversed(raws))


class Deformer(nn.Module):
  """A velocity field [B, *S, d] from the raw convolutions of encoder and decoder.

  From the coarsest of `taps` grids to the finest, the two networks' features and what
  came before are concatenated and doubled by a transposed convolution. The last 3^d
  convolution starts near zero (normal, 1e-5), so that training starts at the identity.
  """

  features: int = 32
  taps: int = 3

  @nn.compact
  def __call__(
    self,
    encoded: Sequence[Array],
    decoded: Sequence[Array],
    weight: Array,
    train: bool,
  ) -> Array:
    dims = encoded[0].ndim - 2
    x = ()
    for i in reversed(range(self.taps)):
      parts = jnp.concatenate((encoded[i], decoded[i + 1], *x), -1)
      x = (
        Block(self.features, 'transpose', name=f'level{i}')(parts, weight, train)[0],
      )
    head = Conv(dims, kernel_init=nn.initializers.normal(1e-5), name='velocity')
    return head(x[0])
