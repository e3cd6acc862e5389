"""The step that finds the brain."""

from uad_jax.data.preprocessing import brainmask, grid, strip, strip_program
from uad_jax.data.preprocessing.nifti import BadScan
from uad_jax.data.preprocessing.scan import ScanState


def brain_mask(
  scan: ScanState, how: str = 'auto', close: float = 4.0, erode: float = 5.0
) -> ScanState:
  """Finds the brain: 'given', from 'labels', of a 'stripped' image, by the 'template'.

  'auto' takes the first of them that can be had. Only when asked for: 'otsu' (rough),
  and 'hd_bet' or 'synthstrip' where they are installed. `close` (labels, stripped) and
  `erode` (otsu) are in mm.
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
    return scan._replace(mask=mask, found={'by': how, 'version': version})
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
      return scan._replace(mask=mask, found={'by': way})
  raise BadScan(f"{scan.name} has no brain by '{how}'; allowed are {', '.join(ways)}")


def need_brain(scan: ScanState, step: str) -> None:
  """Raises unless the brain has been found."""
  if scan.mask is None:
    raise ValueError(f"step '{step}' needs the brain; put 'brain_mask' before it")
