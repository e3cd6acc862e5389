"""Filters for 2-D and 3-D images: Gaussian smoothing, median, dilation, box sums."""

import functools
import itertools
import math
from collections.abc import Iterator

import jax
import jax.numpy as jnp


def gaussian_smooth(x: jax.Array, sigma: float) -> jax.Array:
  """Smooths images with a Gaussian filter of standard deviation `sigma`.

  Outside of the grid the border voxels are repeated. The kernel is cut at four sigma,
  rounded to whole voxels, as in scipy.ndimage.

  Args:
    x: [B, *S, C].
    sigma: Standard deviation in voxels; 0 returns x unchanged.

  Returns:
    [B, *S, C].

  Examples:
    >>> x = jnp.zeros((1, 5, 5, 1)).at[0, 2, 2, 0].set(1.0)
    >>> [round(value, 3) for value in gaussian_smooth(x, 0.5)[0, 2, :, 0].tolist()]
    [0.0, 0.084, 0.619, 0.084, 0.0]
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


def comparators(n: int) -> Iterator[tuple[int, int]]:
  """Yields the comparators of a network that sorts n values (Batcher 1968).

  It is the odd-even merge sort. A comparator (i, j), i < j, puts the smaller of the
  values i and j at place i and the larger at place j; after all of them the values
  ascend.

  Args:
    n: Number of values.

  Examples:
    >>> list(comparators(3))
    [(0, 1), (0, 2), (1, 2)]
  """
  p = 1
  while p < n:
    k = p
    while k:
      for start in range(k % p, n - k, 2 * k):
        for i in range(start, min(start + k, n - k)):
          if i // (2 * p) == (i + k) // (2 * p):
            yield i, i + k
      k //= 2
    p *= 2


NETWORK = 125
"""Largest number of values whose median is taken by a network of comparators; for more
the network takes long to compile."""


def median(x: jax.Array, size: int) -> jax.Array:
  """Replaces each voxel by the median of a box around it.

  Outside of the grid the border voxels are repeated.

  Args:
    x: [B, *S, C].
    size: Edge length of the box in voxels, odd; 1 returns x unchanged.

  Returns:
    [B, *S, C].

  Raises:
    ValueError: The size is not an odd number of 1 or more.

  Examples:
    >>> x = jnp.array([0.0, 9.0, 1.0, 2.0]).reshape(1, 4, 1)
    >>> median(x, 3).ravel().tolist()
    [0.0, 1.0, 2.0, 2.0]
  """
  if size < 1 or size % 2 == 0:
    raise ValueError(f'the median filter has size {size}; allowed are 1, 3, 5 ...')
  sizes = x.shape[1:-1]
  radius = size // 2
  padded = jnp.pad(x, [(0, 0), *[(radius, radius)] * len(sizes), (0, 0)], 'edge')
  shifts = itertools.product(range(size), repeat=len(sizes))
  boxes = [
    padded[(slice(None), *(slice(i, i + n) for i, n in zip(start, sizes, strict=True)))]
    for start in shifts
  ]
  if len(boxes) > NETWORK:
    return jnp.median(jnp.stack(boxes), 0)
  for i, j in comparators(len(boxes)):
    boxes[i], boxes[j] = (
      jnp.minimum(boxes[i], boxes[j]),
      jnp.maximum(boxes[i], boxes[j]),
    )
  return boxes[len(boxes) // 2]


def dilate(x: jax.Array, radius: int) -> jax.Array:
  """Dilates images: replaces each voxel by the maximum over a box around it.

  Args:
    x: [B, *S, C].
    radius: Voxels by which the box reaches to each side; 0 returns x unchanged.

  Returns:
    [B, *S, C].

  Examples:
    >>> x = jnp.zeros((1, 3, 4, 1)).at[0, 0, 0, 0].set(1.0)
    >>> dilate(x, 1)[0, ..., 0].tolist()
    [[1.0, 1.0, 0.0, 0.0], [1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]]
  """
  for axis in range(1, x.ndim - 1) if radius else ():
    dimensions = [2 * radius + 1 if i == axis else 1 for i in range(x.ndim)]
    x = jax.lax.reduce_window(
      x, -jnp.inf, jax.lax.max, dimensions, [1] * x.ndim, 'SAME'
    )
  return x


def box_sum(x: jax.Array, window: int) -> jax.Array:
  """Computes at each voxel the sum of the image over a box around the voxel.

  Outside of the grid the image counts as 0.

  Args:
    x: [B, *S, C].
    window: Odd edge length of the box in voxels.

  Returns:
    [B, *S, C].

  Examples:
    >>> box_sum(jnp.ones((1, 3, 3, 1)), 3)[0, ..., 0].tolist()
    [[4.0, 6.0, 4.0], [6.0, 9.0, 6.0], [4.0, 6.0, 4.0]]
  """
  return jnp.moveaxis(box_sum_planes(jnp.moveaxis(x, -1, 1), window), 1, -1)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def box_sum_planes(x: jax.Array, window: int) -> jax.Array:
  """Computes at each voxel the sum over a box, for images with the channels first.

  The sums equal those of `box_sum`. They are computed axis by axis, in about
  log2(window) additions.

  Args:
    x: [B, C, *S].
    window: Odd edge length of the box in voxels.
  """
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
