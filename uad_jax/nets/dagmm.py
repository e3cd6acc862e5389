"""Decoder of the compression network of DAGMM, as `encoder_decoder` without a variance.

The encoder is `encoder_decoder.Encoder`, the estimation network
`discriminator.Discriminator`.
"""

from collections.abc import Sequence

import flax.linen as nn
import jax

from uad_jax.nets.encoder_decoder import Decoder, Head


class MeanDecoding(nn.Module):
  """Decoder that maps latent maps to images, without a predicted variance.

  Attributes:
    shape: Spatial shape of the images.
    channels: Contrasts of the images.
    widths: Channels after each doubling of the grid, coarsest first.
  """

  shape: Sequence[int]
  channels: int
  widths: Sequence[int]

  @nn.compact
  def __call__(self, z: jax.Array) -> jax.Array:
    """Decodes latent maps [B, *S / 2^levels, Z] to images [B, *S, channels]."""
    return Head(self.channels)(Decoder(self.shape, self.widths)(z))
