"""Sentences and entries of the sidecar about the decision on a scan."""

from typing import Any

from uad_jax.prediction.decision import FALLBACK, Decided, Decision, Healthy, level

COMPONENTS, VOXELS = 'components', 'voxels'
"""Names of the two decisions in sidecars and tables."""

MORE = (
  '`python -m uad_jax.adapt --run=RUN --config=configs/adapt/recalibration.py '
  '--source=DIR_OF_HEALTHY_SCANS --workdir=NEW_RUN` makes a run that is calibrated on '
  'the scans of that folder instead'
)
"""Advice where there are too few healthy scans."""


def note(rule: Decision, healthy: Healthy) -> str:
  """Returns a sentence about missing healthy scans, or too few for alpha; '' for none.

  Args:
    rule: Decision that was chosen.
    healthy: Calibration of the run at its threshold.
  """
  if rule.alpha is None:
    return ''
  if not len(healthy.masses):
    return (
      'the run has no component masses of healthy scans, so that voxels are marked, '
      f'those at or above the threshold of {FALLBACK} %; delete its results.json and '
      'repeat its command of uad_jax.main, which evaluates it anew'
    )
  highest = level(healthy, rule.alpha)
  if highest <= rule.alpha:
    return ''
  return (
    f'with {len(healthy.masses)} healthy scans the smallest p-value is {highest:.2g}, '
    f'and components are marked up to it instead of alpha = {rule.alpha:g}; {MORE}'
  )


def facts(rule: Decision, decided: Decided, healthy: Healthy) -> dict[str, Any]:
  """Returns the entries of the sidecar about a decision.

  Args:
    rule: The decision.
    decided: Its result for the scan.
    healthy: Its calibration.
  """
  by_voxel = decided.level is None
  meaning = 'voxels at or above the threshold are marked'
  if not by_voxel:
    meaning = (
      f'components with p <= {decided.level:.2g} are marked, family-wise: at most '
      f'{100 * decided.level:.2g} % of healthy scans have anything marked'
    )
  return {
    'percent': rule.percent,
    'decision': VOXELS if by_voxel else COMPONENTS,
    'alpha': rule.alpha,
    'p': decided.p,
    'decision_means': meaning,
    'healthy_scans': len(healthy.masses),
  }
