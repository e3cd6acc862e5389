"""Residual encoder and decoder of Chen & Konukoglu 2018, with a latent vector.

arXiv 1806.04972, for 2-D and 3-D images: four residual blocks in the encoder and four
in the decoder, widths 16 to 256 and back, leaky ReLU of slope 0.2. The paper does not
specify the blocks. Layer normalisation over the grid and the average pooling of the
encoder's shortcuts are taken from the re-implementation by Baur et al. (Medical Image
Analysis 69, 2021). Two departures from the re-implementation: the decoder's shortcuts
repeat voxels (there: transposed convolutions), and the last convolution has
edge 3 and no normalisation before it (there: edge 1 with normalisation).
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
  """Residual block of two convolutions that halves or doubles the image resolution.

  Layer normalisation over the grid, leaky ReLU, 3 x 3 (x 3) convolution, twice; added
  to a shortcut (voxels averaged or repeated, then a 1 x 1 (x 1) convolution).

  Attributes:
    width: Output channels.
    up: True doubles the grid before the first convolution, False halves it by the
      stride of the second.
  """

  width: int
  up: bool

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Maps features [B, *S, C] to [B, *(2 S), width] or [B, *S / 2, width]."""
    d = x.ndim - 2
    shortcut = Conv(self.width, (1,) * d)(double(x) if self.up else halve(x))
    y = nn.leaky_relu(GridNorm()(x), SLOPE)
    y = Conv(self.width, (3,) * d)(double(y) if self.up else y)
    y = nn.leaky_relu(GridNorm()(y), SLOPE)
    return shortcut + Conv(self.width, (3,) * d, 1 if self.up else 2)(y)


class ResidualEncoder(nn.Module):
  """Residual encoder of Chen & Konukoglu 2018 that maps an image to a latent vector.

  A 3 x 3 (x 3) convolution, residual blocks and a dense layer.

  Attributes:
    widths: Channels of the blocks, each of which halves the grid; the first convolution
      has widths[0] / 2 channels.
    latent: Values of the latent vector.
  """

  widths: Sequence[int] = (32, 64, 128, 256)
  latent: int = 128

  @nn.compact
  def __call__(self, x: jax.Array) -> tuple[jax.Array]:
    """Encodes images [B, *S, C] to a tuple of one latent [B, latent]."""
    halved_grid(x.shape[1:-1], len(self.widths))  # raises if it cannot be halved
    check_latent(self.latent, x)
    x = Conv(self.widths[0] // 2, (3,) * (x.ndim - 2))(x)
    for width in self.widths:
      x = Residual(width, up=False)(x)
      keep(self, x)
    return (nn.Dense(self.latent)(x.reshape(len(x), -1)),)


class ResidualDecoder(nn.Module):
  """Residual decoder of Chen & Konukoglu 2018 that maps a latent vector to an image.

  A dense layer, a 3 x 3 (x 3) convolution and residual blocks.

  Attributes:
    shape: Spatial shape of the images, multiples of 2^len(widths).
    channels: Contrasts of the images.
    widths: Encoder widths; the decoder's blocks have half of them, coarsest first.
    dropout: Dropout rate in [0, 1] after the dense layer.
  """

  shape: Sequence[int]
  channels: int = 1
  widths: Sequence[int] = (32, 64, 128, 256)
  dropout: float = 0.0

  @nn.compact
  def __call__(self, z: jax.Array, deterministic: bool = True) -> jax.Array:
    """Decodes latents [B, Z] to images [B, *shape, channels], without an activation.

    Args:
      z: [B, Z].
      deterministic: Turns dropout off.
    """
    coarse, d = halved_grid(self.shape, len(self.widths)), len(self.shape)
    x = nn.Dense(math.prod(coarse) * self.widths[-1])(z)
    x = nn.Dropout(self.dropout, deterministic=deterministic)(x)
    x = x.reshape(len(x), *coarse, self.widths[-1])
    x = Conv(self.widths[-1] // 2, (3,) * d)(x)
    for width in self.widths[::-1]:
      x = Residual(width // 2, up=True)(x)
    return Conv(self.channels, (3,) * d)(nn.leaky_relu(x, SLOPE))
