"""Functions that average an image over blocks of voxels and interpolate it back."""

from collections.abc import Sequence

import numpy as np

from uad_jax.domain_shift.intensity_range import Arrays, changed


def block_starts(length: int, size: int, offset: int) -> np.ndarray:
  """Computes the first voxel of each block along an axis.

  Args:
    length: Voxels along the axis.
    size: Voxels in a block.
    offset: Voxels by which the first block is shorter, in [0, size).

  Returns:
    [N] ascending indices, the first of them 0.
  """
  return np.unique(np.maximum(np.arange(-offset, length, size), 0))


def block_means(
  image: np.ndarray, brain: np.ndarray, starts: Sequence[np.ndarray]
) -> np.ndarray:
  """Computes the mean intensity of the brain voxels in each block.

  Args:
    image: [*S, C].
    brain: Brain mask [*S, 1], bool.
    starts: For each spatial axis the first voxels of the blocks.

  Returns:
    [*N, C] means for N blocks along each axis; nan in blocks without brain.
  """
  total, count = np.where(brain, image, 0.0).astype(np.float64), brain.astype(float)
  for axis, first in enumerate(starts):
    total = np.add.reduceat(total, first, axis)
    count = np.add.reduceat(count, first, axis)
  return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def interpolated(
  means: np.ndarray, starts: Sequence[np.ndarray], shape: Sequence[int]
) -> np.ndarray:
  """Interpolates means of blocks linearly between the centres of the blocks.

  Blocks without brain have no weight, and outside of the outermost centres the nearest
  block counts.

  Args:
    means: [*N, C] means, nan in blocks without brain.
    starts: For each spatial axis the first voxels of the blocks.
    shape: Spatial shape S of the result.

  Returns:
    [*S, C]; nan where no neighbouring block has brain.
  """
  weight = np.isfinite(means).astype(np.float64)
  value = np.nan_to_num(means)
  for axis, (first, length) in enumerate(zip(starts, shape, strict=True)):
    centres = (first + np.append(first[1:], length) - 1) / 2
    matrix = np.stack(
      [np.interp(np.arange(length), centres, unit) for unit in np.eye(len(first))], 1
    )
    value, weight = (
      np.moveaxis(np.tensordot(matrix, array, (1, axis)), 0, axis)
      for array in (value, weight)
    )
  return np.where(weight > 0, value / np.where(weight > 0, weight, 1.0), np.nan)


def blockwise(
  arrays: Arrays, sizes: Sequence[int], rng: np.random.Generator
) -> dict[str, np.ndarray]:
  """Replaces the brain's intensities by interpolated means over blocks of voxels.

  Args:
    arrays: 'image' [*S, C], 'mask' [*S, 1] and maybe 'twin'.
    sizes: Voxels in a block along each spatial axis.
    rng: Draws the position of the first block.
  """
  brain = arrays['mask'] > 0
  grid = brain.shape[:-1]
  starts = [
    block_starts(length, size, int(rng.integers(size)))
    for length, size in zip(grid, sizes, strict=True)
  ]
  return changed(
    arrays,
    lambda image: interpolated(block_means(image, brain, starts), starts, grid),
  )
