"""Separable filters on a grid: box sums, Gaussian smoothing, dilation; 2-D and 3-D."""

import functools
import math

import jax
import jax.numpy as jnp


def gaussian_smooth(x: jax.Array, sigma: float) -> jax.Array:
  """Separable Gaussian smoothing of [B, *S, C], sigma in voxels, borders repeated.

  The kernel ends at the whole voxel nearest to four sigma, as scipy.ndimage's does.
  """
  if sigma == 0:
    return x
  radius = int(4 * sigma + 0.5)
  kernel = [math.exp(-0.5 * (i / sigma) ** 2) for i in range(-radius, radius + 1)]
  total = sum(kernel)
  for axis in range(1, x.ndim - 1):
    padding = [(radius, radius) if i == axis else (0, 0) for i in range(x.ndim)]
    padded = jnp.pad(x, padding, 'edge')
    x = sum(
      jax.lax.slice_in_dim(padded, i, i + x.shape[axis], axis=axis) * (value / total)
      for i, value in enumerate(kernel)
    )
  return x


def dilate(x: jax.Array, radius: int) -> jax.Array:
  """The maximum over the box of `radius` voxels around each voxel of [B, *S, C]."""
  for axis in range(1, x.ndim - 1) if radius else ():
    dimensions = [2 * radius + 1 if i == axis else 1 for i in range(x.ndim)]
    x = jax.lax.reduce_window(
      x, -jnp.inf, jax.lax.max, dimensions, [1] * x.ndim, 'SAME'
    )
  return x


def box_sum(x: jax.Array, window: int) -> jax.Array:
  """Sums over the box of `window` (odd) voxels around each voxel of [B, *S, C].

  There is nothing beyond the border.
  """
  return jnp.moveaxis(box_sum_planes(jnp.moveaxis(x, -1, 1), window), 1, -1)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def box_sum_planes(x: jax.Array, window: int) -> jax.Array:
  """`box_sum` of planes [B, C, *S], axis by axis, in log2(window) additions."""
  radius = window // 2
  for axis in range(2, x.ndim):
    size = x.shape[axis]
    padding = [(radius, radius) if i == axis else (0, 0) for i in range(x.ndim)]
    block, length = jnp.pad(x, padding), 1  # block[i] sums `length` voxels from i on
    total, offset = 0.0, 0
    while True:
      if window & length:
        part = jax.lax.slice_in_dim(block, offset, offset + size, axis=axis)
        total, offset = total + part, offset + length
      if 2 * length > window:
        break
      count = block.shape[axis]
      low = jax.lax.slice_in_dim(block, 0, count - length, axis=axis)
      high = jax.lax.slice_in_dim(block, length, count, axis=axis)
      block, length = low + high, 2 * length
    x = total
  return x


# The box is symmetric, so it is its own transpose.
box_sum_planes.defvjp(
  lambda x, window: (box_sum_planes(x, window), None),
  lambda window, _, g: (box_sum_planes(g, window),),
)
