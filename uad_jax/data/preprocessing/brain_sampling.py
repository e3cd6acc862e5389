"""Function that resamples a skull-stripped brain faster than the whole volume."""

import numpy as np
from scipy import ndimage

from uad_jax.data.preprocessing import grid

TRUNCATE = 4.0
"""Radius in standard deviations at which `scipy.ndimage` cuts a Gaussian."""


def sample_brain(
  brain: np.ndarray, mask: np.ndarray, matrix: np.ndarray, shape: tuple[int, int, int]
) -> np.ndarray:
  """Resamples a brain linearly onto a coarser grid, with a blur against aliasing.

  Only the bounding box of the brain, enlarged by the radius of the Gaussian, is
  blurred: about a third of the voxels of a head of high resolution. The result is
  bitwise equal to that of `grid.sample` with `antialias`.

  Args:
    brain: Intensities [X, Y, Z], 0 outside of the mask.
    mask: Brain mask [X, Y, Z], bool, not empty.
    matrix: 4x4 from voxel indices of the new grid to voxel indices of `brain`.
    shape: Shape of the new grid.

  Returns:
    Array of the new shape, with the dtype of `brain`.
  """
  sigma = grid.blur(matrix)
  first, end = grid.bounding_box(mask)
  reach = (TRUNCATE * sigma + 0.5).astype(int) + 1
  box = tuple(
    slice(max(a - r, 0), b + r) for a, b, r in zip(first, end, reach, strict=True)
  )
  blurred = np.zeros_like(brain)
  ndimage.gaussian_filter(
    brain[box], sigma, mode='nearest', truncate=TRUNCATE, output=blurred[box]
  )
  return grid.sample(blurred, matrix, shape)
