"""Skull stripping without a network: the template's outline and the scan's own edge."""

import functools

import numpy as np
from scipy import ndimage

from uad_jax.data.preprocessing import align, brainmask, grid

SPACING = 2.0
"""Resolution in mm at which the brain is sought."""

PASSES = 2
BEYOND = 4.0
"""The brain may lie this far, in mm, outside of the aligned template's outline."""

WITHIN = 8.0
"""What lies this far inside of it is brain whatever it looks like."""

DARK = 0.45
"""Of the median brain value: what is darker is fluid, bone or air."""

OPENING, CLOSING = 2.0, 8.0
"""Radii in mm: bridges to the skull are cut, furrows are filled."""


@functools.cache
def outline() -> np.ndarray:
  """Distance in mm to the outline of the template's brain, positive inside."""
  volume, _ = align.template()
  brain = np.pad(volume > 0.1, 10)
  brain = ndimage.binary_fill_holes(ndimage.binary_closing(brain, iterations=5))
  brain = brain[(slice(10, -10),) * 3]
  inside = ndimage.distance_transform_edt(brain)
  return (inside - ndimage.distance_transform_edt(~brain)).astype(np.float32)


def by_template(image: np.ndarray, affine: np.ndarray) -> np.ndarray:
  """The brain of a whole head, as a mask on its grid.

  Begins with Otsu's rough brain (`brainmask.by_otsu`), aligns it to the template, keeps
  what is bright as tissue within `BEYOND` of the template's outline, cuts bridges and
  fills furrows; aligned anew by the better brain, once more.
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
  """Distance in mm of each voxel to the outline of the aligned template."""
  _, template_affine = align.template()
  to_template = np.linalg.inv(to_head @ template_affine) @ affine
  return grid.sample(outline(), to_template, shape, fill=-50.0)
