"""Auto-encoder network with dropout on its skip connections (Baur et al. 2020)."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from uad_jax.nets.baur2021 import SLOPE, WIDTHS, FromVector, ToVector, mirrored
from uad_jax.nets.layers.conv import Conv
from uad_jax.nets.layers.conv_transpose import ConvTranspose
from uad_jax.nets.layers.feature_taps import keep
from uad_jax.nets.layers.grid_sizes import check_latent, halved_grid


class SkipAutoEncoder(nn.Module):
  """Auto-encoder of Baur et al. 2021, extended by skip connections with dropout.

  On each grid between the coarsest and the image's, the encoder's features pass through
  dropout and are concatenated with the decoder's features. The image itself is not
  passed on.

  Attributes:
    shape: Spatial shape of the images, multiples of 2^len(widths).
    channels: Contrasts of the images.
    widths: Encoder widths, which the decoder mirrors.
    latent: Values of a dense latent.
    bottleneck: 'dense' or 'spatial'.
    dropout: Dropout rate of the skip connections, in [0, 1].
    drop_maps: Drops whole feature maps of a scan instead of single values.
  """

  shape: Sequence[int]
  channels: int = 1
  widths: Sequence[int] = WIDTHS
  latent: int = 128
  bottleneck: str = 'spatial'
  dropout: float = 0.5
  drop_maps: bool = False

  @nn.compact
  def __call__(
    self, image: jax.Array, deterministic: bool = True
  ) -> tuple[jax.Array, jax.Array]:
    """Encodes and reconstructs images.

    Args:
      image: [B, *S, C].
      deterministic: Turns dropout off.

    Returns:
      The latent, [B, Z] or [B, *S / 2^levels, widths[-1]], and the reconstruction
      [B, *S, C].
    """
    d = image.ndim - 2
    drop = nn.Dropout(
      self.dropout,
      broadcast_dims=tuple(range(1, d + 1)) if self.drop_maps else (),
      deterministic=deterministic,
    )
    coarse = halved_grid(self.shape, len(self.widths))
    x, maps = image, []
    for width in self.widths:
      x = nn.leaky_relu(Conv(width, (5,) * d, 2)(x), SLOPE)
      maps.append(x)
      keep(self, x)
    latent, dense = x, self.bottleneck == 'dense'
    check_latent(self.latent if dense else x[0].size, image)
    if dense:
      (latent,) = ToVector(self.latent)(x)
      x = FromVector(coarse, self.widths[-1])(latent)
    x = nn.relu(x)
    for width, skip in zip(mirrored(self.widths), [*maps[-2::-1], None], strict=True):
      x = nn.leaky_relu(ConvTranspose(width)(x), SLOPE)
      if skip is not None:
        x = jnp.concatenate([x, drop(skip)], -1)
    return latent, Conv(self.channels, (1,) * d)(x)
