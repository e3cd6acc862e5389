"""Functions that resample images to finer and coarser grids."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp


def upsample(x: jax.Array, shape: Sequence[int]) -> jax.Array:
  """Resizes an image to a finer grid by linear interpolation.

  From [B, *S, C] to [B, *shape, C].
  """
  return jax.image.resize(x, (len(x), *shape, x.shape[-1]), 'linear')


def double(x: jax.Array) -> jax.Array:
  """Doubles the resolution of an image by repeating each voxel along all axes.

  From [B, *S, C] to [B, *(2 S), C].
  """
  for axis in range(1, x.ndim - 1):
    x = jnp.repeat(x, 2, axis)
  return x


def halve(x: jax.Array) -> jax.Array:
  """Halves the resolution of an image by averaging two voxels along each axis.

  From [B, *S, C] to [B, *S / 2, C], rounded down.
  """
  window = (2,) * (x.ndim - 2)
  return nn.avg_pool(x, window, window)
