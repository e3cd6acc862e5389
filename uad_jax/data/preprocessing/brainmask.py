"""Where the brain is: from labels, from a stripped background, or roughly by Otsu."""

import warnings

import numpy as np
from scipy import ndimage
from skimage.filters import threshold_otsu

LARGEST_BRAIN = 2.3e6
"""mm^3; a foreground above it is a head rather than a stripped brain."""


def from_labels(labels: np.ndarray | None, spacing: np.ndarray, close: float = 4.0):
  """The brain as `label > 0`, closed by `close` mm and filled; None without labels."""
  return None if labels is None else closed(labels > 0, spacing, close)


def stripped(image: np.ndarray, spacing: np.ndarray, close: float = 4.0):
  """The brain of an image that was stripped: what differs from the value around it.

  Returns:
    The mask, or None where the image holds more than a brain.
  """
  # Interpolation leaves tiny values beside the zeros of the background.
  ripple = 1e-4 * (np.percentile(image, 99.5) - image[0, 0, 0])
  foreground = ndimage.binary_opening(np.abs(image - image[0, 0, 0]) > abs(ripple))
  if not foreground.any() or foreground.sum() * np.prod(spacing) > LARGEST_BRAIN:
    return None
  return closed(_largest(foreground), spacing, close)


def by_otsu(image: np.ndarray, spacing: np.ndarray, erode: float = 5.0):
  """A rough brain; see `rough`. Fat and neck may remain, therefore the warning."""
  warnings.warn(
    'the brain mask is a rough one by Otsu and may hold parts of the head; give masks, '
    'labels or stripped scans for results that count',
    stacklevel=2,
  )
  return rough(image, spacing, erode)


def rough(image: np.ndarray, spacing: np.ndarray, erode: float = 5.0):
  """Otsu's threshold, eroded by `erode` mm, largest part, dilated.

  Otsu, "A threshold selection method from gray-level histograms", 1979. The erosion
  parts the brain from the scalp.
  """
  low, high = np.percentile(image, (0.5, 99.5))
  image = np.clip(image, low, high)
  bright = image > threshold_otsu(image)
  core = _largest(_distance(bright, spacing) > erode)
  return closed(_dilate(core, spacing, erode), spacing, erode)


def opened(mask: np.ndarray, spacing: np.ndarray, radius: float) -> np.ndarray:
  """The part of the mask that its eroded largest part reaches; `radius` in mm."""
  core = _largest(_distance(mask, spacing) > radius)
  return _dilate(core, spacing, radius) & mask


def closed(mask: np.ndarray, spacing: np.ndarray, radius: float) -> np.ndarray:
  """The mask with its furrows closed by `radius` mm and its holes filled."""
  return _fill(_close(mask, spacing, radius))


def _distance(mask, spacing):
  """Distance in mm to the outside; beyond the border of the volume is outside."""
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
  parts, count = ndimage.label(mask)
  if count == 0:
    return mask
  return parts == 1 + np.argmax(np.bincount(parts.ravel())[1:])


def _fill(mask):
  return ndimage.binary_fill_holes(mask)
