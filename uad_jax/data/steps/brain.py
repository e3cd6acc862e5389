"""The step that finds the brain."""

from uad_jax.data import brainmask, grid
from uad_jax.data.nifti import BadScan
from uad_jax.data.scan import Scan


def brain_mask(
  scan: Scan, how: str = 'auto', close: float = 4.0, erode: float = 5.0
) -> Scan:
  """Finds the brain: 'given', from 'labels', of a 'stripped' image, or by 'otsu'.

  'auto' takes the first of them that can be had; `close` (labels, stripped) and `erode`
  (otsu) are in mm.
  """
  spacing = grid.spacing(scan.affine)
  ways = {
    'given': lambda: scan.mask,
    'labels': lambda: brainmask.from_labels(scan.labels, spacing, close),
    'stripped': lambda: brainmask.stripped(scan.image, spacing, close),
    'otsu': lambda: brainmask.by_otsu(scan.image, spacing, erode),
  }
  if how != 'auto' and how not in ways:
    raise ValueError(
      f"step 'brain_mask' is given how='{how}'; allowed are auto, {', '.join(ways)}"
    )
  for way in ways if how == 'auto' else (how,):
    mask = ways[way]()
    if mask is not None and mask.any():
      return scan._replace(mask=mask, found={'by': way})
  raise BadScan(f"{scan.name} has no brain by '{how}'; allowed are {', '.join(ways)}")


def need_brain(scan: Scan, step: str) -> None:
  """Raises unless the brain has been found."""
  if scan.mask is None:
    raise ValueError(f"step '{step}' needs the brain; put 'brain_mask' before it")
