"""Functions that apply preprocessing steps in order, and check the result."""

from typing import Any

import numpy as np

from uad_jax.data.preprocessing.bad_scan import BadScan
from uad_jax.data.preprocessing.scan import ScanState
from uad_jax.data.preprocessing.steps import STEPS, Steps


def apply(scan: ScanState, steps: Steps) -> tuple[ScanState, list[dict[str, Any]]]:
  """Applies preprocessing steps in order and checks the result.

  Args:
    scan: State of the scan before the first step.
    steps: Pairs (name, parameters).

  Returns:
    State of the scan after the last step; and one dict per step, with its name, its
    parameters and the values that it measured (see `preprocess.Prepared.chain`).

  Raises:
    BadScan: The scan has a fault after the last step, see `fault`, or a step failed
      because the scan already had a fault.
  """
  problem, since, chain = fault(scan), '', []
  for name, parameters in steps:
    try:
      scan = STEPS[name](scan._replace(measured={}), **parameters)
    except (ArithmeticError, IndexError, ValueError) as error:
      if not problem or (isinstance(error, BadScan) and not since):
        raise
      raise _refusal(scan.name, problem, since) from error
    chain.append({'step': name, **parameters, **scan.measured})
    if (changed := fault(scan)) != problem:
      problem, since = changed, name
  if problem:
    raise _refusal(scan.name, problem, since)
  return scan, chain


def fault(scan: ScanState) -> str:
  """Checks whether a scan is unusable: not finite, no brain, or constant in it.

  Args:
    scan: State of the scan.

  Returns:
    Description of the fault to put after the name of the scan, such as 'holds NaN or
    Inf'; '' if the scan has none.
  """
  for image in (scan.image, scan.twin):
    if image is not None and not np.isfinite(image).all():
      return 'holds NaN or Inf'
  if scan.mask is not None and not scan.mask.any():
    return 'has no voxel in its brain mask'
  mask = np.ones(scan.image.shape, bool) if scan.mask is None else scan.mask
  thin = (slice(None, None, 4),) * 3
  # Nearly always some of the voxels tell, and a volume may have millions.
  if _constant(scan.image[thin], mask[thin]) and _constant(scan.image, mask):
    return 'is constant in the brain'
  return ''


def _refusal(name: str, problem: str, step: str) -> BadScan:
  """The error for a scan that has a fault since a step; '' since it was read."""
  since = f"after the step '{step}'" if step else 'as it was read'
  return BadScan(
    f'{name} {problem} {since}; allowed is a scan whose intensities are finite and '
    'differ within the brain after all steps'
  )


def _constant(image: np.ndarray, mask: np.ndarray) -> bool:
  values = image[mask]
  return values.size == 0 or values.min() == values.max()
