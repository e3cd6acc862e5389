"""Functions that resample images to finer and coarser grids."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp


def upsample(x: jax.Array, shape: Sequence[int]) -> jax.Array:
  """Interpolates an image [B, *S, C] linearly to another grid, [B, *shape, C]."""
  return jax.image.resize(x, (len(x), *shape, x.shape[-1]), 'linear')


def double(x: jax.Array) -> jax.Array:
  """Doubles the grid of an image [B, *S, C] by repeating voxels, [B, *(2 S), C]."""
  for axis in range(1, x.ndim - 1):
    x = jnp.repeat(x, 2, axis)
  return x


def halve(x: jax.Array) -> jax.Array:
  """Halves the grid of an image [B, *S, C] by averaging 2^d voxels, [B, *S / 2, C]."""
  window = (2,) * (x.ndim - 2)
  return nn.avg_pool(x, window, window)
