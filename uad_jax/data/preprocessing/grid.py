"""Sampling a volume on another grid, with one interpolation."""

import numpy as np
from scipy import ndimage

FWHM = 2 * np.sqrt(2 * np.log(2))
"""Full width at half maximum of a Gaussian, in standard deviations."""


def sample(
  volume: np.ndarray,
  matrix: np.ndarray,
  shape: tuple[int, int, int],
  order: int = 1,
  antialias: bool = False,
  fill: float = 0.0,
) -> np.ndarray:
  """Samples `volume` [X, Y, Z, ...] on a grid of `shape`.

  Args:
    volume: Axes after the third are kept.
    matrix: 4x4, from voxel of the new grid to voxel of `volume`.
    shape: Shape of the new grid.
    order: 0 nearest, 1 linear, 3 cubic.
    antialias: Blurs first so that a voxel of `volume` (a Gaussian of one voxel's FWHM)
      gets the width of a voxel of the new grid: sigma = sqrt(step^2 - 1) / 2.355.
    fill: Value outside the field of view of `volume`.
  """
  if volume.ndim > 3:
    parts = [
      sample(volume[..., c], matrix, shape, order, antialias, fill)
      for c in range(volume.shape[-1])
    ]
    return np.stack(parts, -1)
  if antialias:
    volume = ndimage.gaussian_filter(volume, blur(matrix), mode='nearest')
  # A border voxel must not fall outside by a rounding error.
  matrix = np.round(matrix, 10)
  return ndimage.affine_transform(
    volume,
    matrix[:3, :3],
    matrix[:3, 3],
    output_shape=tuple(shape),
    order=order,
    mode='constant',
    cval=fill,
  )


def blur(matrix: np.ndarray) -> np.ndarray:
  """The anti-alias sigma along each axis, in voxels of the volume that is sampled."""
  step = np.linalg.norm(matrix[:3, :3], axis=1)
  return np.sqrt(np.maximum(step**2 - 1, 0)) / FWHM


def sample_mask(mask: np.ndarray, matrix: np.ndarray, shape) -> np.ndarray:
  """Samples a mask: linear, true above one half."""
  return sample(mask.astype(np.float32), matrix, shape) > 0.5


def respaced(
  shape: tuple[int, int, int], affine: np.ndarray, spacing: tuple[float, float, float]
) -> tuple[tuple[int, int, int], np.ndarray]:
  """The grid with the same centre, axes and field of view at another spacing in mm."""
  shape = np.asarray(shape)
  old = np.linalg.norm(affine[:3, :3], axis=0)
  new = np.maximum(np.rint(shape * old / spacing).astype(int), 1)
  result = np.eye(4)
  result[:3, :3] = affine[:3, :3] / old * spacing
  centre = affine[:3, :3] @ ((shape - 1) / 2) + affine[:3, 3]
  result[:3, 3] = centre - result[:3, :3] @ ((new - 1) / 2)
  return tuple(int(n) for n in new), result


def translated(affine: np.ndarray, start) -> np.ndarray:
  """The affine of the sub-volume that begins at voxel `start` (may be negative)."""
  result = affine.copy()
  result[:3, 3] = affine[:3, :3] @ np.asarray(start, float) + affine[:3, 3]
  return result


def bounding_box(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """First and last-plus-one voxel of the true part along each axis."""
  where = [np.flatnonzero(mask.any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1))]
  return np.array([w[0] for w in where]), np.array([w[-1] + 1 for w in where])


def spacing(affine: np.ndarray) -> np.ndarray:
  """Voxel sizes in mm."""
  return np.linalg.norm(affine[:3, :3], axis=0)
