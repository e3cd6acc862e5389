"""Critics of codes and of images, after the comparative study (Baur et al. 2021)."""

from collections.abc import Sequence

import flax.linen as nn
import jax

from uad_jax.nets import baur2021
from uad_jax.nets.layers.conv import Conv
from uad_jax.nets.layers.grid_norm import GridNorm

SLOPE = 0.2
"""Of the critics of codes; those of images have the slope of the study's encoders."""


class LatentCritic(nn.Module):
  """A perceptron on codes; the widths are 50-50 (AAE), 100-50 or 200-400 (cAAE)."""

  widths: Sequence[int] = (50, 50)

  @nn.compact
  def __call__(self, z: jax.Array) -> jax.Array:
    """[B, Z] to [B]."""
    for width in self.widths:
      z = nn.leaky_relu(nn.Dense(width)(z), SLOPE)
    return nn.Dense(1)(z)[:, 0]


class ImageCritic(nn.Module):
  """Convolutions of 5^d that halve the grid once for each width, then a linear unit.

  The unit looks at each place of the last grid and its values are averaged: a critic of
  patches, as the study's is. Of its parameters only the norms' grow with the image.
  """

  widths: Sequence[int] = (32, 64, 128, 128)

  @nn.compact
  def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """[B, *S, C] to the value [B] and the last features [B, *S / 2^levels, C]."""
    for width in self.widths:
      convolve = Conv(width, (5,) * (x.ndim - 2), 2)
      x = GridNorm()(convolve(x))
      x = nn.leaky_relu(x, baur2021.SLOPE)
    value = nn.Dense(1)(x)
    return value.mean(tuple(range(1, value.ndim))), x
