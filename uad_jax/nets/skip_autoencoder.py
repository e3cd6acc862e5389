"""An auto-encoder whose levels are also joined by skip connections under dropout."""

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
  """The study's auto-encoder with the encoder's maps joined to the decoder's.

  At each grid between the bottleneck's and the image's own, after dropout; the image
  itself is not passed on.

  Attributes:
    shape: Of the images.
    channels: Of the images.
    widths: Of the encoder.
    latent: Values of a dense bottleneck.
    bottleneck: 'dense' or 'spatial'.
    dropout: Rate of the skip connections.
    drop_maps: Drop whole maps of a scan rather than single values.
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
    """[B, *S, C] to the latent and the reconstruction [B, *S, C]."""
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
