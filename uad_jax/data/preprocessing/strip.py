"""Functions that compute the brain mask of a whole T1 head without a network.

They use the aligned MNI152 template and an intensity threshold.
"""

import functools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy import ndimage
from skimage.filters import threshold_otsu

from uad_jax.data.preprocessing import align, bias, brain_checks, brainmask, grid
from uad_jax.data.preprocessing.nifti import BadScan

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

ROBUST = ((0.0, 5.0), (0.0, 10.0), (0.3, 10.0), (0.6, 10.0))
"""Further rough masks, of long necks and smooth images: position of the threshold
between Otsu's of the head and Otsu's of its brighter part, and erosion in mm."""

HEIGHT, TOP = 170.0, 1000.0
"""Height in mm below the top of the head that they look at, and area in mm^2 of the
section that counts as its top."""

FIELD_SUSPECT, FIELD = 0.95, 1.5
"""Correlation with the template below which the bias field is estimated, and the ratio
of its percentiles 99 and 1 in the brain from which the field counts as strong."""

FIELD_ROUNDS, SETTLED = 5, 0.995
"""Largest number of corrections of a strong bias field, and the overlap (Dice) of two
successive brain masks at which they end."""


@functools.cache
def distance_to_outline() -> np.ndarray:
  """Computes the signed distance in mm to the outline of the MNI152 template's brain.

  [X, Y, Z] on the grid of the template, positive inside the brain.
  """
  volume, _ = align.template()
  brain = np.pad(volume > 0.1, 10)
  brain = ndimage.binary_closing(brain, iterations=5)
  # As binary_fill_holes, in a third of the time; the corner is outside of the brain.
  outside, _ = ndimage.label(~brain)
  brain = (outside != outside[0, 0, 0])[(slice(10, -10),) * 3]
  distance = -ndimage.distance_transform_edt(~brain)
  # The background nearest to a voxel of the brain lies in its box or next to it.
  box = ndimage.find_objects(brain.astype(int))[0]
  box = tuple(slice(max(s.start - 1, 0), s.stop + 1) for s in box)
  distance[box] += ndimage.distance_transform_edt(brain[box])
  return distance.astype(np.float32)


class Stripping(NamedTuple):
  """Brain mask of a head, and the measurements by which it was judged plausible.

  Attributes:
    mask: Brain mask [X, Y, Z], bool.
    fit: Measurements of the mask and of the alignment.
    field: Ratio of the percentiles 99 and 1 of the bias field in the brain, where the
      field is so strong that the head was divided by it; 1 where it was not.
  """

  mask: np.ndarray
  fit: brain_checks.Fit
  field: float = 1.0


def by_template(
  image: np.ndarray, affine: np.ndarray, name: str = 'the scan'
) -> Stripping:
  """Computes the brain mask of a whole T1 head with the aligned MNI152 template.

  A rough brain mask is refined `PASSES` times: the brain in the mask is aligned to the
  template; voxels as bright as tissue are kept if they lie inside the template's
  outline or at most `BEYOND` mm outside; bridges to the skull are cut and furrows
  filled. The first rough mask is that of `brainmask.rough`. If the result is not
  plausible (`brain_checks.faults`), the rough masks of `ROBUST` are tried in order,
  until a result is plausible. A strong bias field hides the dark end of a brain: the
  result is refined on the head divided by the field (`bias.estimate`).

  Args:
    image: T1 scan [X, Y, Z].
    affine: 4x4 from voxel to mm.
    name: Name of the scan, for messages.

  Raises:
    BadScan: No result is plausible, for example because the head is only partly in
      the field of view.
  """
  shape, coarse = grid.respaced(image.shape, affine, (SPACING,) * 3)
  to_image = np.linalg.inv(affine) @ coarse
  head = grid.sample(image, to_image, shape, antialias=True)
  attempts = []
  for start in _starts(head, coarse):
    try:
      brain, to_head, correlation = _refined(head, start, coarse, name)
    except BadScan:
      continue
    fit = brain_checks.measure(brain, coarse, to_head, correlation)
    if not brain_checks.faults(fit):
      brain, fit, field = _without_field(head, Stripping(brain, fit), coarse, name)
      mask = grid.sample_mask(brain, np.linalg.inv(to_image), image.shape)
      return Stripping(mask, fit, field)
    attempts.append(fit)
    if brain_checks.is_part(fit):
      break
  reason = 'nothing aligns with the template'
  if attempts:
    best = min(attempts, key=lambda fit: (len(brain_checks.faults(fit)), -fit[1]))
    reason = ', '.join(brain_checks.faults(best))
  raise BadScan(
    f'{name} has no brain that is whole and plausible, found with the template: '
    f'{reason}; {brain_checks.REMEDY}'
  )


def of_stripped(
  image: np.ndarray, mask: np.ndarray, affine: np.ndarray, name: str = 'the scan'
) -> Stripping:
  """Computes the brain mask of a skull-stripped image by the rule of whole heads.

  Skull strippers differ by millimetres at the rim, and some leave eyes and dura. The
  foreground is refined once as in `by_template`, so that scans with and without skull
  get the same mask; nothing outside of the foreground is added. Where the result is not
  plausible (`brain_checks.faults`), or fits the template less than healthy brains do
  (`brain_checks.DOUBTFUL`), the mask is the foreground.

  Args:
    image: Skull-stripped scan [X, Y, Z].
    mask: Its foreground [X, Y, Z], bool, not empty.
    affine: 4x4 from voxel to mm.
    name: Name of the scan, for messages.

  Raises:
    BadScan: The foreground does not align with the template.
  """
  shape, coarse = grid.respaced(image.shape, affine, (SPACING,) * 3)
  to_image = np.linalg.inv(affine) @ coarse
  head = grid.sample(image, to_image, shape, antialias=True)
  foreground = grid.sample_mask(mask, to_image, shape)
  brain, to_head, correlation = _refined(head, foreground, coarse, name, passes=1)
  fit = brain_checks.measure(brain, coarse, to_head, correlation)
  if correlation < brain_checks.DOUBTFUL or brain_checks.faults(fit):
    return Stripping(mask, fit)
  brain = grid.sample_mask(brain, np.linalg.inv(to_image), mask.shape)
  return Stripping(mask & brain, fit)


def _starts(head: np.ndarray, affine: np.ndarray) -> Iterator[np.ndarray]:
  """Yields rough brain masks, the usual one first; none of them is empty."""
  spacing = grid.spacing(affine)
  with np.errstate(all='ignore'):
    brain = brainmask.rough(head, spacing)
  if brain.any():
    yield brain
  upper = _upper(head, affine)
  for raised, erode in ROBUST:
    brain = _core(head, upper, spacing, raised, erode)
    if brain.any():
      yield brain


def _refined(head, brain, affine, name, passes=PASSES):
  """Brain mask, alignment (4x4 from template mm) and correlation by a rough mask."""
  spacing = grid.spacing(affine)
  for _ in range(passes):
    to_head, correlation = align.register(head, brain, affine, scan=name)
    depth = _depth(to_head, affine, head.shape)
    within = depth > WITHIN
    if not within.any():
      raise BadScan(f'{name} does not lie where its alignment puts the template')
    bright = head > DARK * np.median(head[within])
    brain = brainmask.opened(bright & (depth > -BEYOND), spacing, OPENING)
    brain = brainmask.closed(brain, spacing, CLOSING) | within
  return brain, to_head, correlation


def _without_field(head, result: Stripping, affine, name) -> Stripping:
  """The result, refined on the head without its bias field if that is strong.

  Each round estimates the field anew, in the brain mask of the round before. A round
  whose result is not plausible, or fits the template less than the first, ends this.
  """
  brain = result.mask
  for _ in range(FIELD_ROUNDS if result.fit.correlation < FIELD_SUSPECT else 0):
    field = bias.estimate(head, brain, affine, name=name)
    low, high = np.percentile(field[brain], (1, 99))
    if high < FIELD * low:
      break
    try:
      new, to_head, correlation = _refined(head / field, brain, affine, name)
    except BadScan:
      break
    fit = brain_checks.measure(new, affine, to_head, correlation)
    if brain_checks.faults(fit) or correlation < result.fit.correlation:
      break
    overlap = 2 * np.count_nonzero(new & brain) / (new.sum() + brain.sum())
    brain, result = new, Stripping(new, fit, float(high / low))
    if overlap > SETTLED:
      break
  return result


def _upper(head: np.ndarray, affine: np.ndarray) -> np.ndarray:
  """Voxels [X, Y, Z] at most `HEIGHT` below the top of the head."""
  axes = np.ogrid[tuple(slice(n) for n in head.shape)]
  height = sum(affine[2, k] * axes[k] for k in range(3)) + affine[2, 3]
  height = np.broadcast_to(height, head.shape)
  low, high = np.percentile(head, (0.5, 99.5))
  if low == high:
    return np.ones(head.shape, bool)
  bright = ndimage.binary_opening(head > threshold_otsu(np.clip(head, low, high)))
  layers = np.rint((height[bright] - height.min()) / SPACING).astype(int)
  area = np.bincount(layers, minlength=1) * abs(np.linalg.det(affine[:3, :3])) / SPACING
  wide = np.flatnonzero(area > TOP)
  top = height.min() + SPACING * wide[-1] if len(wide) else height.max()
  return height > top - HEIGHT


def _core(head, upper, spacing, raised, erode) -> np.ndarray:
  """Largest part of the bright voxels after an erosion, dilated again and closed."""
  low, high = np.percentile(head[upper], (0.5, 99.5))
  values = np.clip(head, low, high)
  if low == high:
    return np.zeros(head.shape, bool)
  threshold = threshold_otsu(values[upper])
  brighter = values[upper & (values > threshold)]
  if brighter.min() < brighter.max():
    threshold += raised * (threshold_otsu(brighter) - threshold)
  bright = upper & (values > threshold)
  return brainmask.largest_core(bright, spacing, erode)


def _depth(to_head, affine, shape) -> np.ndarray:
  """Signed distance in mm of each voxel to the outline of the aligned template."""
  _, template_affine = align.template()
  to_template = np.linalg.inv(to_head @ template_affine) @ affine
  return grid.sample(distance_to_outline(), to_template, shape, fill=-50.0)
