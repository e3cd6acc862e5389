"""Preprocessing steps that orient, align, crop and resample scans or select slices."""

import warnings
from collections.abc import Sequence

import nibabel as nib
import numpy as np

from uad_jax.data.preprocessing import align as alignment
from uad_jax.data.preprocessing import brain_checks, grid
from uad_jax.data.preprocessing.nifti import BadScan
from uad_jax.data.preprocessing.scan import ScanState
from uad_jax.data.preprocessing.steps.brain import need_brain

SCALED = (0.4, 2.5)
"""Allowed range of the scale along an axis in the alignment with a template.

The scales of adult heads are 0.75 to 1.05; beyond this range a mask is no brain.
"""


def reorient(scan: ScanState) -> ScanState:
  """Permutes and flips the axes of a scan so that they are as near to RAS as possible.

  In RAS, x points to the right, y to the front and z up. Nothing is interpolated.
  """
  orientation = nib.io_orientation(scan.affine)
  affine = scan.affine @ nib.orientations.inv_ornt_aff(orientation, scan.image.shape)
  axes = ''.join(nib.aff2axcodes(scan.affine))
  scan = scan.map_arrays(
    lambda array: np.ascontiguousarray(nib.apply_orientation(array, orientation))
  )
  return scan._replace(affine=affine, measured={'from': axes})


def align(
  scan: ScanState,
  degrees: int = 12,
  least: float = 0.7,
  template: str = alignment.MNI152,
) -> ScanState:
  """Aligns a T1 scan to a template by an affine map fitted with least squares.

  The map is computed by `align.register`. Only the affines change; the step 'resample'
  interpolates. The brain mask is needed.

  Args:
    scan: State of the scan.
    degrees: Degrees of freedom: 6, 9 or 12.
    least: Correlation with the template below which a warning is given.
    template: 'mni152', or the path of a skull-stripped T1 template.

  Raises:
    ValueError: `degrees` is not allowed, or there is no brain mask.
    BadScan: The scan cannot be aligned, for example as it has only a few slices.
  """
  need_brain(scan, 'align')
  to_scan, correlation = alignment.register(
    scan.image, scan.mask, scan.affine, degrees, template, scan.name
  )
  return onto_template(scan, to_scan, {'correlation': correlation}, least, template)


def onto_template(
  scan: ScanState,
  to_scan: np.ndarray,
  similarity: dict[str, float],
  least: float,
  template: str,
  **measured,
) -> ScanState:
  """Changes the affine of a scan so that it maps voxels to the mm of a template.

  Nothing is interpolated. A warning is given if the similarity is too low, or if the
  scales are not those of a whole brain (`brain_checks`).

  Args:
    scan: State of the scan, not aligned yet.
    to_scan: 4x4 from template mm to scan mm.
    similarity: Similarity of the aligned scan and the template: a dict of one entry,
      the name of the measure and its value.
    least: Similarity below which a warning is given.
    template: Name of the template.
    **measured: Further values to record in the chain.

  Raises:
    BadScan: The affine cannot be inverted, or scales an axis beyond `SCALED`.
  """
  ((name, value),) = similarity.items()
  _check_scales(scan.name, to_scan)
  if value < least:
    warnings.warn(
      f'{scan.name} agrees with the template by {value:.2f} ({name}) only after '
      'the alignment; look at it',
      stacklevel=3,
    )
  measured = {'to_scan': to_scan.tolist(), name: round(value, 4)} | measured
  return scan._replace(
    affine=np.linalg.inv(to_scan) @ scan.affine,
    to_scan=to_scan,
    aligned=template,
    measured=measured,
  )


def _check_scales(name: str, to_scan: np.ndarray) -> None:
  """Refuses an alignment that is absurd; warns of one that squeezes the brain."""
  if not np.isfinite(to_scan).all() or abs(np.linalg.det(to_scan[:3, :3])) < 1e-6:
    raise BadScan(
      f'{name} cannot be aligned with the template; allowed is a whole head or brain'
    )
  scales = np.linalg.svd(to_scan[:3, :3], compute_uv=False)
  low, high = brain_checks.SCALE
  if not low <= scales.prod() <= high or scales[-1] < brain_checks.SQUEEZE * scales[0]:
    numbers = ' x '.join(f'{scale:.2f}' for scale in scales)
    if scales[0] > SCALED[1] or scales[-1] < SCALED[0]:
      raise BadScan(
        f'{name} is scaled by {numbers} in the alignment with the template; allowed '
        f'are {SCALED[0]} to {SCALED[1]} along an axis; {brain_checks.REMEDY}, that '
        'covers the brain and nothing else'
      )
    warnings.warn(
      f'{name} is scaled by {numbers} in the alignment with the template, as no whole '
      'brain is: it may show a part of the brain, or its brain mask may be wrong; look '
      'at it',
      stacklevel=4,
    )


def crop(scan: ScanState, margin: float = 8.0) -> ScanState:
  """Crops a scan to the bounding box of its brain mask, enlarged by a margin.

  The margin is `margin` mm on each side. The brain mask is needed.
  """
  need_brain(scan, 'crop')
  first, end = grid.bounding_box(scan.mask)
  more = np.ceil(margin / grid.spacing(scan.to_scan @ scan.affine)).astype(int)
  return scan.box(first - more, end + more)


def resample(
  scan: ScanState,
  spacing: float | Sequence[float],
  order: int = 1,
  antialias: bool = True,
) -> ScanState:
  """Interpolates all arrays of a scan onto a grid of another voxel size.

  An aligned scan is sampled on a grid over the template's brain, so that a voxel is the
  same place in every scan; another scan keeps its field of view and axes. Images are
  interpolated by `order`, masks linearly, labels by the nearest voxel.

  Args:
    scan: State of the scan.
    spacing: Voxel size in mm, one number or one for each axis.
    order: Order of the images' interpolation: 0 nearest, 1 linear, 3 cubic.
    antialias: Whether to blur the images before, where voxels get larger.
  """
  spacing = np.broadcast_to(np.asarray(spacing, float), (3,))
  if scan.aligned is not None:
    shape, affine = alignment.template_grid(spacing, scan.aligned)
  else:
    shape, affine = grid.respaced(scan.image.shape, scan.affine, spacing)
  matrix = np.linalg.inv(scan.affine) @ affine

  def image(array):
    return grid.sample(array, matrix, shape, order, antialias)

  return scan._replace(
    image=image(scan.image),
    twin=None if scan.twin is None else image(scan.twin),
    mask=None if scan.mask is None else grid.sample_mask(scan.mask, matrix, shape),
    lesion=None
    if scan.lesion is None
    else grid.sample_mask(scan.lesion, matrix, shape),
    labels=None if scan.labels is None else grid.sample(scan.labels, matrix, shape, 0),
    affine=affine,
  )


def pad_or_crop(scan: ScanState, shape: Sequence[int]) -> ScanState:
  """Pads a scan with zeros or crops it around its centre, so that it has a given shape.

  A warning is given if more than 1 % of the brain mask is cut off.

  Args:
    scan: State of the scan.
    shape: Sizes along x, y and z; two sizes leave z as it is.
  """
  shape = np.array([*shape, *scan.image.shape[len(shape) :]])
  first = (np.array(scan.image.shape) - shape) // 2
  if scan.mask is not None:
    inside = scan.box(first, first + shape).mask.sum()
    lost = 1 - inside / max(scan.mask.sum(), 1)
    if lost > 0.01:
      warnings.warn(
        f'{scan.name} loses {lost:.0%} of its brain when cut to {shape.tolist()}; '
        'allow a larger shape or spacing',
        stacklevel=2,
      )
  return scan.box(first, first + shape)


def slices(
  scan: ScanState,
  fraction: float = 0.25,
  heights: tuple[float, float] = (0.0, 1.0),
) -> ScanState:
  """Selects the slices along z that show enough brain and lie within given heights.

  Args:
    scan: State of the scan.
    fraction: Smallest brain area of a chosen slice, relative to the largest area.
    heights: Lowest and highest slice height, in [0, 1] over the volume.
  """
  need_brain(scan, 'slices')
  area = scan.mask.sum((0, 1))
  height = np.arange(len(area)) / max(len(area) - 1, 1)
  between = (height >= heights[0] - 1e-9) & (height <= heights[1] + 1e-9)
  chosen = np.flatnonzero(between & (area >= fraction * area.max()) & (area > 0))
  return scan._replace(slices=tuple(int(k) for k in chosen))
