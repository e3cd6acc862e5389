"""Critics of codes and of images, after the comparative study (Baur et al. 2021)."""

import math
from collections.abc import Sequence

import flax.linen as nn
import jax

from uad_jax.nets import study
from uad_jax.nets.conv import Conv

SLOPE = 0.2
"""Of the critics of codes; those of images have the slope of the study's encoders."""


class GridNorm(nn.Module):
  """Layer normalisation over the grid: each channel of each example by itself.

  Its scale and bias have a value for each voxel and are shared by the channels, as
  those of a layer normalisation over the spatial axes are.
  """

  epsilon: float = 1e-3

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """[B, *S, C] to the same; a grid of one voxel is refused, as it would give 0."""
    if math.prod(x.shape[1:-1]) == 1:
      raise ValueError(
        f'the grid {x.shape[1:-1]} of one voxel cannot be normalised; give fewer widths'
      )
    axes = tuple(range(1, x.ndim - 1))
    scale = self.param('scale', nn.initializers.ones, (1, *x.shape[1:-1], 1))
    bias = self.param('bias', nn.initializers.zeros, (1, *x.shape[1:-1], 1))
    x = x - x.mean(axes, keepdims=True)
    variance = (x**2).mean(axes, keepdims=True)
    return x * jax.lax.rsqrt(variance + self.epsilon) * scale + bias


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
      x = nn.leaky_relu(x, study.SLOPE)
    value = nn.Dense(1)(x)
    return value.mean(tuple(range(1, value.ndim))), x
