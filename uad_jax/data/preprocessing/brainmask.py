"""Functions that compute brain masks from labels, stripped images or whole heads.

In all functions `spacing` is the voxel size [3] in mm; masks are [X, Y, Z], bool.
"""

import warnings

import numpy as np
from scipy import ndimage
from skimage.filters import threshold_otsu

from uad_jax.data.preprocessing import brain_checks, grid

LARGEST_BRAIN = 2.3e6
"""Volume in mm^3; a larger foreground is a whole head, not a skull-stripped brain."""

RIM = 8.0
"""Thickness in mm of the dark rim, of fluid or blurred tissue, around a brain."""

SKULL_DEPTH = (4.0, 16.0)
"""Range of depths in mm below the surface of a head at which its skull is seen."""

DARK = 0.3
"""Intensity below which a voxel is dark, relative to the upper quartile."""

DARK_SHARES = (0.25, 0.08)
"""Share of dark voxels at `SKULL_DEPTH` above which there is a skull: of a foreground
that lies within the field of view, and of one that is cut by its border. Stripped
brains and slabs of them have up to 0.05, parts of heads 0.11 or more, heads 0.3."""


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

  The foreground is all voxels that differ from the first voxel, which is background.
  The mask is the largest connected part of the foreground; furrows are closed by a
  morphological closing, and holes are filled. A part of a head with skull, such as a
  slab, can be as small as a brain and is rejected by `has_skull`.

  Args:
    image: Image [X, Y, Z].
    spacing: Voxel size [3] in mm.
    close: Radius of the closing in mm.

  Returns:
    The brain mask; None if the foreground is empty, is larger than `LARGEST_BRAIN` or
    contains a skull.
  """
  # Interpolation leaves tiny values beside the zeros of the background.
  ripple = 1e-4 * (np.percentile(image, 99.5) - image[0, 0, 0])
  difference = image - image[0, 0, 0]
  foreground = np.abs(difference, out=difference) > abs(ripple)
  voxel = np.prod(spacing)
  eroded = _eroded(foreground)
  if not eroded.any() or np.count_nonzero(eroded) * voxel > LARGEST_BRAIN:
    return None
  foreground = ndimage.binary_dilation(eroded)
  if np.count_nonzero(foreground) * voxel > LARGEST_BRAIN:
    return None
  mask = closed(_largest(foreground), spacing, close)
  return None if has_skull(image, mask, spacing) else mask


def has_skull(image: np.ndarray, mask: np.ndarray, spacing: np.ndarray) -> bool:
  """Returns whether the foreground of an image contains a skull.

  Skull and sinuses are dark and lie below the bright scalp. So the function computes
  the share of dark voxels at the depths `SKULL_DEPTH` below the surface, which is high
  for a head and low for a brain. A dark rim of up to `RIM` is removed first. The border
  of the field of view does not count as surface.

  Args:
    image: Image [X, Y, Z] whose first voxel is background.
    mask: Foreground of the image [X, Y, Z], bool.
    spacing: Voxel size [3] in mm.
  """
  step = [max(1, int(np.ceil(1.9 / size))) for size in spacing]
  thin = tuple(slice(None, None, n) for n in step)
  image, mask, spacing = image[thin] - image[0, 0, 0], mask[thin], spacing * step
  dark = np.abs(image) < DARK * np.percentile(np.abs(image[mask]), 75)
  peel = max(1, round(RIM / float(spacing.mean())))
  head = ~ndimage.binary_dilation(~mask, iterations=peel, mask=~mask | dark)
  padded = np.pad(_largest(head), 1, mode='edge')
  if padded.all():
    return True
  depth = ndimage.distance_transform_edt(padded, sampling=spacing)
  depth = depth[1:-1, 1:-1, 1:-1]
  shell = dark[(depth > SKULL_DEPTH[0]) & (depth <= SKULL_DEPTH[1])]
  limit = DARK_SHARES[brain_checks.cut(mask) > brain_checks.CUT]
  return bool(shell.size and shell.mean() > limit)


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
  return largest_core(image > threshold_otsu(image), spacing, erode)


def largest_core(mask: np.ndarray, spacing: np.ndarray, radius: float) -> np.ndarray:
  """Keeps the largest part of an eroded mask, dilates it and closes gaps and holes.

  The radius of erosion, dilation and closing is `radius` in mm. The result is empty if
  the eroded mask is empty.
  """
  core = _largest(_deep(mask, spacing, radius))
  return closed(_dilate(core, spacing, radius), spacing, radius)


def opened(mask: np.ndarray, spacing: np.ndarray, radius: float) -> np.ndarray:
  """Removes thin bridges from a mask and keeps its largest connected part.

  The mask is eroded by `radius` mm; the largest part is dilated again, within the mask.
  """
  core = _largest(_deep(mask, spacing, radius))
  return _dilate(core, spacing, radius) & mask


def closed(mask: np.ndarray, spacing: np.ndarray, radius: float) -> np.ndarray:
  """Closes narrow gaps in a brain mask and fills its holes.

  The gaps are furrows of the brain; a morphological closing with the radius `radius`
  in mm closes them.
  """
  box, result = _box(mask, 1), np.zeros_like(mask)
  if mask.any():
    result[box] = ndimage.binary_fill_holes(_close(mask[box], spacing, radius))
  return result


def _box(mask, margin=0):
  """Slices of the bounding box of a mask, enlarged by a margin in voxels.

  Distances are computed within it: a transform of all voxels of a fine scan takes
  minutes and gigabytes.
  """
  if not mask.any():
    return (slice(0, 0),) * 3
  first, end = grid.bounding_box(mask)
  margin = np.broadcast_to(margin, 3)
  return tuple(
    slice(max(a - m, 0), b + m) for a, b, m in zip(first, end, margin, strict=True)
  )


def _eroded(mask):
  """Erosion by the six neighbours; voxels on the border of the volume are removed."""
  result = mask.copy()
  for axis in range(3):
    moved, whole = np.moveaxis(result, axis, 0), np.moveaxis(mask, axis, 0)
    moved[1:] &= whole[:-1]
    moved[:-1] &= whole[1:]
    moved[0] = moved[-1] = False
  return result


def _deep(mask, spacing, radius):
  """Voxels more than `radius` mm from the outside of the mask and of the volume."""
  box = _box(mask)
  padded = np.pad(mask[box], 1)
  deep = ndimage.distance_transform_edt(padded, sampling=spacing) > radius
  result = np.zeros_like(mask)
  result[box] = deep[1:-1, 1:-1, 1:-1]
  return result


def _dilate(mask, spacing, radius):
  """Voxels at most `radius` mm from the mask."""
  box = _box(mask, [int(np.ceil(radius / s)) for s in spacing])
  result = np.zeros_like(mask)
  if mask.any():
    result[box] = ndimage.distance_transform_edt(~mask[box], sampling=spacing) <= radius
  return result


def _close(mask, spacing, radius):
  """Morphological closing; the field of view is enlarged for it."""
  margin = [int(np.ceil(radius / s)) + 1 for s in spacing]
  grown = _dilate(np.pad(mask, [(m, m) for m in margin]), spacing, radius)
  closed = ndimage.distance_transform_edt(grown, sampling=spacing) > radius
  inner = tuple(slice(m, -m) for m in margin)
  return closed[inner] | mask


def _largest(mask):
  """The largest connected part of a mask."""
  box = _box(mask)
  parts, count = ndimage.label(mask[box])
  if count == 0:
    return mask
  result = np.zeros_like(mask)
  result[box] = parts == 1 + np.argmax(np.bincount(parts.ravel())[1:])
  return result
