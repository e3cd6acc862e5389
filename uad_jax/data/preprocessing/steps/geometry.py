"""Steps that move, cut or resample: orientation, alignment, grid, slices."""

import warnings
from collections.abc import Sequence

import nibabel as nib
import numpy as np

from uad_jax.data.preprocessing import align as alignment
from uad_jax.data.preprocessing import grid
from uad_jax.data.preprocessing.scan import ScanState
from uad_jax.data.preprocessing.steps.brain import need_brain


def reorient(scan: ScanState) -> ScanState:
  """Permutes and flips the axes to the nearest to x right, y front, z up."""
  turn = nib.io_orientation(scan.affine)
  affine = scan.affine @ nib.orientations.inv_ornt_aff(turn, scan.image.shape)
  axes = ''.join(nib.aff2axcodes(scan.affine))
  scan = scan.each(lambda a: np.ascontiguousarray(nib.apply_orientation(a, turn)))
  return scan._replace(affine=affine, found={'from': axes})


def align(
  scan: ScanState,
  degrees: int = 12,
  least: float = 0.7,
  template: str = alignment.MNI152,
) -> ScanState:
  """Finds the affine to a T1 template by least squares; nothing is interpolated yet.

  A correlation with the template under `least` is warned of.
  """
  need_brain(scan, 'align')
  to_scan, correlation = alignment.register(
    scan.image, scan.mask, scan.affine, degrees, template
  )
  return onto_template(scan, to_scan, {'correlation': correlation}, least, template)


def onto_template(
  scan: ScanState,
  to_scan: np.ndarray,
  reached: dict[str, float],
  least: float,
  template: str,
  **found,
) -> ScanState:
  """The scan in the template's mm, with what was found: the end of each alignment.

  Args:
    scan: Not yet aligned.
    to_scan: 4x4, template mm to scan mm.
    reached: The similarity with the template, by its name.
    least: A similarity under it is warned of.
    template: Its name.
    **found: More to record.
  """
  ((name, similarity),) = reached.items()
  if similarity < least:
    warnings.warn(
      f'{scan.name} agrees with the template by {similarity:.2f} ({name}) only after '
      'the alignment; look at it',
      stacklevel=3,
    )
  found = {'to_scan': to_scan.tolist(), name: round(similarity, 4)} | found
  return scan._replace(
    affine=np.linalg.inv(to_scan) @ scan.affine,
    to_scan=to_scan,
    aligned=template,
    found=found,
  )


def crop(scan: ScanState, margin: float = 8.0) -> ScanState:
  """Keeps the box about the brain with a margin in mm."""
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
  """Interpolates onto a grid of `spacing` mm: the template's if aligned, else its own.

  On the template's grid a voxel is the same place in each scan.
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
  """Pads with zeros or crops about the centre; two sizes leave z as it is."""
  shape = np.array([*shape, *scan.image.shape[len(shape) :]])
  first = (np.array(scan.image.shape) - shape) // 2
  if scan.mask is not None:
    inside = scan.box(first, first + shape).mask.sum()
    lost = 1 - inside / scan.mask.sum()
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
  """Chooses the slices whose brain area is `fraction` of the largest one's or more.

  Only those between two heights, 0 for the lowest slice and 1 for the highest.
  """
  need_brain(scan, 'slices')
  area = scan.mask.sum((0, 1))
  at = np.arange(len(area)) / max(len(area) - 1, 1)
  between = (at >= heights[0] - 1e-9) & (at <= heights[1] + 1e-9)
  chosen = np.flatnonzero(between & (area >= fraction * area.max()) & (area > 0))
  return scan._replace(slices=tuple(int(k) for k in chosen))
