"""Preprocessing step that computes the brain mask, and checks of the mask."""

import warnings
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from uad_jax.data.preprocessing import (
  brain_checks,
  brainmask,
  grid,
  strip,
  strip_program,
  stripped_checks,
)
from uad_jax.data.preprocessing.nifti import BadScan
from uad_jax.data.preprocessing.scan import ScanState


def brain_mask(
  scan: ScanState,
  how: str = 'auto',
  close: float = 4.0,
  erode: float = 5.0,
  trim: bool = False,
) -> ScanState:
  """Computes the brain mask of a scan by one of several methods, named by `how`.

  The volume of the mask must be plausible for a brain; with 'template' the alignment
  is checked too, see `brain_checks`. Other masks are warned of if a part of the brain
  seems to be missing, or skull to be left, see `stripped_checks`.

  Args:
    scan: State of the scan.
    how: 'given' keeps the mask that was read with the scan; 'labels' takes all labels
      above 0; 'stripped' takes the foreground of a skull-stripped image; 'template'
      strips a T1 head by the aligned MNI152 template; 'auto' tries these four in this
      order. 'otsu' is a rough mask, 'hd_bet' and 'synthstrip' run external programs.
    close: Radius of the closing in mm, for 'labels' and 'stripped'.
    erode: Radius of the erosion in mm, for 'otsu'.
    trim: Whether the foreground of a stripped image is cut to the mask that the whole
      head would get (`strip.of_stripped`).

  Raises:
    ValueError: `how` is none of these.
    BadScan: No brain was found, or it is not as large as a brain.
  """
  spacing = grid.spacing(scan.affine)
  ways = {
    'given': lambda: scan.mask,
    'labels': lambda: brainmask.from_labels(scan.labels, spacing, close),
    'stripped': lambda: brainmask.stripped(scan.image, spacing, close),
    'template': lambda: strip.by_template(scan.image, scan.affine, scan.name),
  }
  if how == 'auto':
    tried = ways
  elif how in strip_program.PROGRAMS:
    mask, version = strip_program.run(how, scan.image, scan.affine)
    return _with_mask(scan, mask, how, {'version': version})
  else:
    ways['otsu'] = lambda: brainmask.by_otsu(scan.image, spacing, erode)
    if how not in ways:
      allowed = ('auto', *ways, *strip_program.PROGRAMS)
      raise ValueError(
        f"step 'brain_mask' is given how='{how}'; allowed are {', '.join(allowed)}"
      )
    tried = (how,)
  for way in tried:
    mask, more = ways[way](), {}
    if isinstance(mask, strip.Stripping):
      mask, more = mask.mask, _measurements(mask)
    if mask is not None and mask.any():
      if trim and way == 'stripped':
        return _trimmed(scan, mask)
      return _with_mask(scan, mask, way, more)
  raise BadScan(f"{scan.name} has no brain by '{how}'; allowed are {', '.join(ways)}")


def _measurements(result: strip.Stripping) -> dict[str, Any]:
  """The measurements of a stripping for the record of preprocessing."""
  field = {} if result.field == 1 else {'bias_field': round(result.field, 2)}
  return result.fit.rounded() | field


def _trimmed(scan: ScanState, foreground: np.ndarray) -> ScanState:
  """The scan with its foreground, cut to the brain, as its mask; warns of doubts.

  The foreground stays as it is in images of one slice, and where a part of the brain
  seems to be missing or nothing aligns with the template.
  """
  spacing = grid.spacing(scan.affine)
  whole = stripped_checks.ends(foreground, spacing) <= stripped_checks.BLUNT
  if not whole or foreground.shape[2] == 1:
    return _with_mask(scan, foreground, 'stripped', {})
  try:
    result = strip.of_stripped(scan.image, foreground, scan.affine, scan.name)
  except BadScan:
    return _with_mask(scan, foreground, 'stripped', {})
  if faults := brain_checks.faults(result.fit):
    warnings.warn(
      f'{scan.name} has no brain as the template has it: {", ".join(faults)}; look at '
      'the scan',
      stacklevel=4,
    )
  outside = brain_checks.volume_ml(foreground & ~result.mask, scan.affine)
  more = _measurements(result) | {'cut_off_ml': round(outside, 1)}
  return _with_mask(scan, result.mask, 'stripped', more)


def _with_mask(scan: ScanState, mask: np.ndarray, by: str, more) -> ScanState:
  """The scan with a brain mask whose volume is one of a brain; warns of doubts."""
  if fault := brain_checks.volume_fault(mask, scan.affine):
    size = ' x '.join(f'{s:.3g}' for s in grid.spacing(scan.affine))
    raise BadScan(
      f"{scan.name} has a brain mask by '{by}' of {fault}; look at the mask and at the "
      f'voxel size of {size} mm, or {brain_checks.REMEDY}'
    )
  spacing = grid.spacing(scan.affine)
  for doubt in stripped_checks.doubts(scan.image, mask, spacing, by):
    warnings.warn(f'{scan.name} {doubt}; look at the scan', stacklevel=3)
  volume = round(brain_checks.volume_ml(mask, scan.affine), 1)
  return scan._replace(mask=mask, measured={'by': by} | more | {'volume_ml': volume})


def warn_if_estimated(chain: Iterable[Mapping[str, Any]]) -> None:
  """Warns if the brain mask of a preprocessed scan was estimated with the template.

  Args:
    chain: Record of the preprocessing steps, see `preprocess.Prepared.chain`.
  """
  for entry in chain:
    if entry.get('step') == 'brain_mask' and entry.get('by') == 'template':
      numbers = ''
      if 'correlation' in entry:
        numbers = (
          f' ({entry["volume_ml"]:.0f} ml, correlation with the template '
          f'{entry["correlation"]:.2f})'
        )
      warnings.warn(
        f'the brain mask was estimated from the whole head{numbers}; for results that '
        f'count, {brain_checks.REMEDY}',
        stacklevel=3,
      )


def need_brain(scan: ScanState, step: str) -> None:
  """Checks that a scan has the brain mask that a preprocessing step needs.

  Args:
    scan: State of the scan.
    step: Name of the preprocessing step, for the message.

  Raises:
    ValueError: There is no brain mask yet.
    BadScan: The brain mask is empty.
  """
  if scan.mask is None:
    raise ValueError(f"step '{step}' needs the brain; put 'brain_mask' before it")
  if not scan.mask.any():
    raise BadScan(
      f"{scan.name} has no voxel in its brain mask at the step '{step}'; allowed is a "
      'mask of a brain'
    )
