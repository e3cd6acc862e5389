"""Functions that compute brain masks from labels, stripped images or whole heads.

In all functions `spacing` is the voxel size [3] in mm; masks are [X, Y, Z], bool.
"""

import warnings

import numpy as np
from scipy import ndimage
from skimage.filters import threshold_otsu

LARGEST_BRAIN = 2.3e6
"""Volume in mm^3; a larger foreground is a whole head, not a skull-stripped brain."""


def from_labels(labels: np.ndarray | None, spacing: np.ndarray, close: float = 4.0):
  """Computes the brain mask from a volume of anatomical labels.

  The mask holds the voxels whose label is above 0. Furrows are closed by a
  morphological closing, and holes are filled.

  Args:
    labels: Labels [X, Y, Z], or None.
    spacing: Voxel size [3] in mm.
    close: Radius of the closing in mm.

  Returns:
    The brain mask; None without labels.
  """
  return None if labels is None else closed(labels > 0, spacing, close)


def stripped(image: np.ndarray, spacing: np.ndarray, close: float = 4.0):
  """Computes the brain mask of a skull-stripped image from its foreground.

  The mask is the largest connected part of the foreground. The foreground differs from
  the value of the first voxel, which is background. Furrows are closed by a
  morphological closing, and holes are filled.

  Args:
    image: Image [X, Y, Z].
    spacing: Voxel size [3] in mm.
    close: Radius of the closing in mm.

  Returns:
    The brain mask; None if the foreground is empty or above `LARGEST_BRAIN`.
  """
  # Interpolation leaves tiny values beside the zeros of the background.
  ripple = 1e-4 * (np.percentile(image, 99.5) - image[0, 0, 0])
  foreground = ndimage.binary_opening(np.abs(image - image[0, 0, 0]) > abs(ripple))
  if not foreground.any() or foreground.sum() * np.prod(spacing) > LARGEST_BRAIN:
    return None
  return closed(_largest(foreground), spacing, close)


def by_otsu(image: np.ndarray, spacing: np.ndarray, erode: float = 5.0):
  """Computes a rough brain mask of a whole head and warns that the mask is rough.

  The mask is that of `rough`, by Otsu's threshold; fat and neck may remain in it.
  """
  warnings.warn(
    'the brain mask is a rough one by Otsu and may hold parts of the head; give masks, '
    'labels or stripped scans for results that count',
    stacklevel=2,
  )
  return rough(image, spacing, erode)


def rough(image: np.ndarray, spacing: np.ndarray, erode: float = 5.0):
  """Computes a rough brain mask of a whole head by Otsu's threshold and morphology.

  The voxels above the threshold are eroded, which separates the brain from the scalp;
  their largest connected part is dilated again. At the end furrows are closed and holes
  filled. Otsu, "A threshold selection method from gray-level histograms", 1979.

  Args:
    image: Image [X, Y, Z] with a dark background.
    spacing: Voxel size [3] in mm.
    erode: Radius of erosion, dilation and closing in mm.
  """
  low, high = np.percentile(image, (0.5, 99.5))
  image = np.clip(image, low, high)
  bright = image > threshold_otsu(image)
  core = _largest(_distance(bright, spacing) > erode)
  return closed(_dilate(core, spacing, erode), spacing, erode)


def opened(mask: np.ndarray, spacing: np.ndarray, radius: float) -> np.ndarray:
  """Removes thin bridges from a mask and keeps its largest connected part.

  The mask is eroded by `radius` mm; the largest part is dilated again, within the mask.
  """
  core = _largest(_distance(mask, spacing) > radius)
  return _dilate(core, spacing, radius) & mask


def closed(mask: np.ndarray, spacing: np.ndarray, radius: float) -> np.ndarray:
  """Closes narrow gaps in a brain mask and fills its holes.

  The gaps are furrows of the brain; a morphological closing with the radius `radius`
  in mm closes them.
  """
  return _fill(_close(mask, spacing, radius))


def _distance(mask, spacing):
  """Distance in mm to the nearest voxel outside the mask or the volume."""
  padded = np.pad(mask, 1)
  return ndimage.distance_transform_edt(padded, sampling=spacing)[1:-1, 1:-1, 1:-1]


def _dilate(mask, spacing, radius):
  return ndimage.distance_transform_edt(~mask, sampling=spacing) <= radius


def _close(mask, spacing, radius):
  margin = [int(np.ceil(radius / s)) + 1 for s in spacing]
  grown = _dilate(np.pad(mask, [(m, m) for m in margin]), spacing, radius)
  closed = ndimage.distance_transform_edt(grown, sampling=spacing) > radius
  inner = tuple(slice(m, -m) for m in margin)
  return closed[inner] | mask


def _largest(mask):
  """The largest connected part of a mask."""
  parts, count = ndimage.label(mask)
  if count == 0:
    return mask
  return parts == 1 + np.argmax(np.bincount(parts.ravel())[1:])


def _fill(mask):
  return ndimage.binary_fill_holes(mask)
