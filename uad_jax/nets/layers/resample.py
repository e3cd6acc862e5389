"""Grids made finer or coarser without parameters."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp


def upsample(x: jax.Array, shape: Sequence[int]) -> jax.Array:
  """Linear interpolation of [B, *S, C] to another grid."""
  return jax.image.resize(x, (len(x), *shape, x.shape[-1]), 'linear')


def double(x: jax.Array) -> jax.Array:
  """[B, *S, C] to [B, *(2 S), C], each voxel repeated."""
  for axis in range(1, x.ndim - 1):
    x = jnp.repeat(x, 2, axis)
  return x


def halve(x: jax.Array) -> jax.Array:
  """[B, *S, C] to [B, *S / 2, C], voxels averaged."""
  window = (2,) * (x.ndim - 2)
  return nn.avg_pool(x, window, window)
