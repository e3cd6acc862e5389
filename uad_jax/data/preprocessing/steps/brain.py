"""Preprocessing step that computes the brain mask, and a check that a scan has one."""

from uad_jax.data.preprocessing import brainmask, grid, strip, strip_program
from uad_jax.data.preprocessing.nifti import BadScan
from uad_jax.data.preprocessing.scan import ScanState


def brain_mask(
  scan: ScanState, how: str = 'auto', close: float = 4.0, erode: float = 5.0
) -> ScanState:
  """Computes the brain mask of a scan by one of several methods, named by `how`.

  Args:
    scan: State of the scan.
    how: 'given' keeps the mask that was read with the scan; 'labels' takes all labels
      above 0; 'stripped' takes the foreground of a skull-stripped image; 'template'
      strips a T1 head by the aligned MNI152 template; 'auto' tries these four in this
      order. 'otsu' is a rough mask, 'hd_bet' and 'synthstrip' run external programs.
    close: Radius of the closing in mm, for 'labels' and 'stripped'.
    erode: Radius of the erosion in mm, for 'otsu'.

  Raises:
    ValueError: `how` is none of these.
    BadScan: No brain was found.
  """
  spacing = grid.spacing(scan.affine)
  ways = {
    'given': lambda: scan.mask,
    'labels': lambda: brainmask.from_labels(scan.labels, spacing, close),
    'stripped': lambda: brainmask.stripped(scan.image, spacing, close),
    'template': lambda: strip.by_template(scan.image, scan.affine),
  }
  if how == 'auto':
    tried = ways
  elif how in strip_program.PROGRAMS:
    mask, version = strip_program.run(how, scan.image, scan.affine)
    return scan._replace(mask=mask, measured={'by': how, 'version': version})
  else:
    ways['otsu'] = lambda: brainmask.by_otsu(scan.image, spacing, erode)
    if how not in ways:
      allowed = ('auto', *ways, *strip_program.PROGRAMS)
      raise ValueError(
        f"step 'brain_mask' is given how='{how}'; allowed are {', '.join(allowed)}"
      )
    tried = (how,)
  for way in tried:
    mask = ways[way]()
    if mask is not None and mask.any():
      return scan._replace(mask=mask, measured={'by': way})
  raise BadScan(f"{scan.name} has no brain by '{how}'; allowed are {', '.join(ways)}")


def need_brain(scan: ScanState, step: str) -> None:
  """Checks that a scan has the brain mask that a preprocessing step needs.

  Args:
    scan: State of the scan.
    step: Name of the preprocessing step, for the message.

  Raises:
    ValueError: There is no brain mask yet.
  """
  if scan.mask is None:
    raise ValueError(f"step '{step}' needs the brain; put 'brain_mask' before it")
