"""Functions that look for faults of skull-stripped images and of masks beside them.

The limits lie between these values, measured on images of 2 mm (`ends` and `rim` are
the functions below):

* 9 brains of one scanner, 4 images of multiple sclerosis and 3 IXI brains cut out by
  their labels: ends 0.00 to 0.14, one 0.29; rim 0.04 to 0.30; background 0.000 to 0.008
  of the mask.
* The three IXI brains with a hemisphere, the upper half, or a slab of 6 to 20 mm set to
  zero: ends 0.93 to 0.98.
* The three with 3 mm of their surroundings: rim 0.32 to 0.45; with 4 mm 0.52 to 0.59;
  with 6 mm 0.84 to 0.88.
"""

import numpy as np
from scipy import ndimage

from uad_jax.data.preprocessing import grid

END_MM = 3.0
"""Thickness in mm of the end of a brain along an axis."""

BLUNT = 0.6
"""Largest area of an end of a brain, relative to its largest parallel section."""

RIM_MM = (4.0, 6.0)
"""Range of depths in mm below the surface of a brain that hold tissue."""

DEEP_MM = 15.0
"""Depth in mm from which the median intensity is that of tissue."""

DARK = 0.45
"""Intensity below which a voxel is dark, relative to the median at `DEEP_MM`."""

LOOSE = 0.42
"""Largest share of dark voxels at `RIM_MM`; skull and fluid are dark."""

EMPTY = 0.25
"""Largest share of a mask that has the intensity of the background."""


def doubts(
  image: np.ndarray, mask: np.ndarray, spacing: np.ndarray, by: str
) -> list[str]:
  """Describes what is doubtful about a brain mask that was not estimated.

  Args:
    image: Image [X, Y, Z] whose first voxel is background unless the mask holds it.
    mask: Brain mask [X, Y, Z], bool, not empty.
    spacing: Voxel size [3] in mm.
    by: Way by which the mask was made, of the step 'brain_mask'. A 'stripped' image is
      checked for its ends and its rim, a 'given' mask and 'labels' for background.

  Returns:
    Clauses for a warning, of which the scan is the subject.
  """
  clauses = []
  if by == 'stripped':
    if (end := ends(mask, spacing)) > BLUNT:
      clauses.append(
        f'has a brain that ends at a plane with {end:.0%} of its largest section '
        f'(usual is up to {BLUNT:.0%}), as if a part of it were set to the background'
      )
    if (dark := rim(image, mask, spacing)) > LOOSE:
      clauses.append(
        f'has {dark:.0%} dark voxels at {RIM_MM[0]:g} to {RIM_MM[1]:g} mm below its '
        f'surface (usual is up to {LOOSE:.0%}), as if skull or scalp were left around '
        'the brain'
      )
  elif by in ('given', 'labels') and not mask[0, 0, 0]:
    empty = np.count_nonzero(image[mask] == image[0, 0, 0]) / np.count_nonzero(mask)
    if empty > EMPTY:
      clauses.append(
        f'has the intensity of its background in {empty:.0%} of the brain mask (usual '
        f'is up to {EMPTY:.0%}), as if a part of the brain were missing'
      )
  return clauses


def ends(mask: np.ndarray, spacing: np.ndarray) -> float:
  """Computes how bluntly a brain mask ends along the axes of the image.

  Ends on the border of the field of view are left out: there the scan ends.

  Args:
    mask: Brain mask [X, Y, Z], bool.
    spacing: Voxel size [3] in mm.

  Returns:
    Mean area of the outermost `END_MM` of the mask, divided by its largest parallel
    section; the maximum over the six ends. 0 for an empty mask.
  """
  largest = 0.0
  for axis, size in enumerate(spacing):
    section = mask.sum(tuple(k for k in range(3) if k != axis))
    inside = np.flatnonzero(section)
    count = max(1, round(END_MM / float(size)))
    if len(inside) < 3 * count:
      continue
    first, last = inside[0], inside[-1]
    if first > 0:
      largest = max(largest, section[first : first + count].mean() / section.max())
    if last < len(section) - 1:
      end = section[last - count + 1 : last + 1]
      largest = max(largest, end.mean() / section.max())
  return float(largest)


def rim(image: np.ndarray, mask: np.ndarray, spacing: np.ndarray) -> float:
  """Computes the share of dark voxels at the depths `RIM_MM` below a brain's surface.

  Args:
    image: Image [X, Y, Z] whose first voxel is background.
    mask: Brain mask [X, Y, Z], bool.
    spacing: Voxel size [3] in mm.

  Returns:
    Share in [0, 1]; 0 for a mask that is nowhere `DEEP_MM` deep.
  """
  step = [max(1, int(np.ceil(1.9 / size))) for size in spacing]
  thin = tuple(slice(None, None, n) for n in step)
  image, mask = np.abs(image[thin] - image[0, 0, 0]), mask[thin]
  if not mask.any():
    return 0.0
  box = tuple(slice(a, b) for a, b in zip(*grid.bounding_box(mask), strict=True))
  image, mask = image[box], np.pad(mask[box], 1)
  depth = ndimage.distance_transform_edt(mask, sampling=spacing * step)
  depth = depth[1:-1, 1:-1, 1:-1]
  deep = image[depth > DEEP_MM]
  shell = image[(depth > RIM_MM[0]) & (depth <= RIM_MM[1])]
  if not (deep.size and shell.size):
    return 0.0
  return float(np.mean(shell < DARK * np.median(deep)))
