"""Functions that resample volumes and compute voxel grids and bounding boxes.

A grid is a shape [3] and a 4x4 affine from voxel indices to mm.
"""

import numpy as np
from scipy import ndimage

from uad_jax.data.preprocessing.nifti_size import check_voxels

FWHM = 2 * np.sqrt(2 * np.log(2))
"""Full width at half maximum of a Gaussian of standard deviation 1."""


def sample(
  volume: np.ndarray,
  matrix: np.ndarray,
  shape: tuple[int, int, int],
  order: int = 1,
  antialias: bool = False,
  fill: float = 0.0,
) -> np.ndarray:
  """Resamples a volume onto another voxel grid.

  The volume is interpolated only once.

  Args:
    volume: [X, Y, Z, ...]; axes after the third are channels, sampled one by one.
    matrix: 4x4 from voxel indices of the new grid to voxel indices of `volume`.
    shape: Shape of the new grid.
    order: Order of the interpolation: 0 nearest, 1 linear, 3 cubic.
    antialias: Whether to blur before: by the sigma of `blur`, which makes a voxel of
      `volume` as wide as a voxel of the new grid.
    fill: Value outside the field of view of `volume`.

  Returns:
    [*shape, ...], of the type of `volume`.
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
  """Computes the width of the Gaussian blur that prevents aliasing in resampling.

  The blur is applied before resampling. The width is the sigma for each axis, in voxels
  of the volume that is sampled:
  sigma = sqrt(max(step^2 - 1, 0)) / 2.355, where step is the voxel size of the new grid
  in voxels of the volume. Voxels count as Gaussians whose FWHM is their size.

  Args:
    matrix: 4x4 from voxel indices of the new grid to those of the volume.
  """
  step = np.linalg.norm(matrix[:3, :3], axis=1)
  return np.sqrt(np.maximum(step**2 - 1, 0)) / FWHM


def sample_mask(mask: np.ndarray, matrix: np.ndarray, shape) -> np.ndarray:
  """Resamples a mask onto another grid by linear interpolation and a threshold of 0.5.

  Args:
    mask: [X, Y, Z], bool.
    matrix: 4x4 from voxel indices of the new grid to those of `mask`.
    shape: Shape of the new grid.
  """
  return sample(mask.astype(np.float32), matrix, shape) > 0.5


def respaced(
  shape: tuple[int, int, int], affine: np.ndarray, spacing: tuple[float, float, float]
) -> tuple[tuple[int, int, int], np.ndarray]:
  """Computes the shape and affine of a grid after a change of its voxel size.

  Centre and axes stay the same. The field of view changes only by rounding to whole
  voxels.

  Args:
    shape: Shape of the old grid.
    affine: 4x4 of the old grid, from voxel to mm.
    spacing: Voxel size of the new grid in mm, along its axes.

  Returns:
    Shape and affine of the new grid.

  Raises:
    BadScan: The new grid has more voxels than are allowed, see `nifti_size`.
  """
  shape = np.asarray(shape)
  old = np.linalg.norm(affine[:3, :3], axis=0)
  new = np.maximum(np.rint(shape * old / spacing), 1)
  place = f'the grid of {" x ".join(f"{s:g}" for s in spacing)} mm over the scan'
  check_voxels(new, place)
  new = new.astype(int)
  result = np.eye(4)
  result[:3, :3] = affine[:3, :3] / old * spacing
  centre = affine[:3, :3] @ ((shape - 1) / 2) + affine[:3, 3]
  result[:3, 3] = centre - result[:3, :3] @ ((new - 1) / 2)
  return tuple(int(n) for n in new), result


def translated(affine: np.ndarray, start) -> np.ndarray:
  """Returns the affine of the sub-volume that starts at the voxel `start` of a volume.

  Args:
    affine: 4x4 of the volume, from voxel to mm.
    start: Voxel indices [3]; may be negative.
  """
  result = affine.copy()
  result[:3, 3] = affine[:3, :3] @ np.asarray(start, float) + affine[:3, 3]
  return result


def bounding_box(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Computes the bounding box of a mask in voxels.

  The mask [X, Y, Z] has at least one true voxel.

  Returns:
    The first voxel [3] of the box, and the voxel [3] after its last.
  """
  inside = [np.flatnonzero(mask.any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1))]
  return np.array([i[0] for i in inside]), np.array([i[-1] + 1 for i in inside])


def spacing(affine: np.ndarray) -> np.ndarray:
  """Computes the voxel size of a grid along each axis, in mm.

  Args:
    affine: 4x4 of the grid, from voxel to mm.

  Returns:
    Voxel size [3].
  """
  return np.linalg.norm(affine[:3, :3], axis=0)
