"""Functions that compute the brain mask of a whole T1 head without a network.

They use the aligned MNI152 template and an intensity threshold.
"""

import functools

import numpy as np
from scipy import ndimage

from uad_jax.data.preprocessing import align, brainmask, grid

SPACING = 2.0
"""Resolution in mm at which the brain mask is computed."""

PASSES = 2
"""Number of alignments; each but the first uses the brain mask of the one before."""

BEYOND = 4.0
"""Distance in mm outside the aligned template's outline up to which brain may lie."""

WITHIN = 8.0
"""Distance in mm inside the outline from which every voxel counts as brain."""

DARK = 0.45
"""Threshold relative to the median brain intensity; fluid, bone and air are darker."""

OPENING, CLOSING = 2.0, 8.0
"""Radii in mm: the opening cuts bridges to the skull, the closing fills furrows."""


@functools.cache
def distance_to_outline() -> np.ndarray:
  """Computes the signed distance in mm to the outline of the MNI152 template's brain.

  [X, Y, Z] on the grid of the template, positive inside the brain.
  """
  volume, _ = align.template()
  brain = np.pad(volume > 0.1, 10)
  brain = ndimage.binary_fill_holes(ndimage.binary_closing(brain, iterations=5))
  brain = brain[(slice(10, -10),) * 3]
  inside = ndimage.distance_transform_edt(brain)
  return (inside - ndimage.distance_transform_edt(~brain)).astype(np.float32)


def by_template(image: np.ndarray, affine: np.ndarray) -> np.ndarray:
  """Computes the brain mask of a whole T1 head with the aligned MNI152 template.

  Starts with Otsu's rough brain mask (`brainmask.rough`). Then, `PASSES` times: aligns
  that brain to the template, keeps voxels as bright as tissue that lie inside the
  template's outline or at most `BEYOND` outside, cuts bridges and fills furrows.

  Args:
    image: T1 scan [X, Y, Z].
    affine: 4x4 from voxel to mm.

  Returns:
    Brain mask [X, Y, Z], bool.
  """
  shape, coarse = grid.respaced(image.shape, affine, (SPACING,) * 3)
  to_image = np.linalg.inv(affine) @ coarse
  head = grid.sample(image, to_image, shape, antialias=True)
  spacing = grid.spacing(coarse)
  brain = brainmask.rough(head, spacing)
  for _ in range(PASSES):
    to_head, _ = align.register(head, brain, coarse)
    depth = _depth(to_head, coarse, shape)
    bright = head > DARK * np.median(head[depth > WITHIN])
    brain = brainmask.opened(bright & (depth > -BEYOND), spacing, OPENING)
    brain = brainmask.closed(brain, spacing, CLOSING) | (depth > WITHIN)
  return grid.sample_mask(brain, np.linalg.inv(to_image), image.shape)


def _depth(to_head, affine, shape) -> np.ndarray:
  """Signed distance in mm of each voxel to the outline of the aligned template."""
  _, template_affine = align.template()
  to_template = np.linalg.inv(to_head @ template_affine) @ affine
  return grid.sample(distance_to_outline(), to_template, shape, fill=-50.0)
