"""Decision which components of an anomaly map are marked, at a family-wise error rate.

Each component of a detection at the voxel threshold gets a split-conformal p-value
(Vovk, Gammerman and Shafer 2005) by its mass, against the largest component masses of n
healthy scans: p = (1 + #{i: m_i >= m}) / (n + 1). As the calibration holds the largest
of each scan, the p-values are family-wise over a scan: of healthy scans exchangeable
with the calibration, a share of at most alpha has anything marked at p <= alpha.

With fewer than 1 / alpha - 1 healthy scans no p-value is as small; the level is then
the smallest p-value possible. If the healthy scans were measured in fewer stacks of
slices than the prediction examines (`detection.stacks`), p is multiplied by their ratio
(Bonferroni).

Mass, volume and largest score were compared on validation scans with lesions: at each
voxel threshold the mass detects the most lesions. At that of 1 % of healthy voxels it
detects as many lesions above 1 ml as at 5 or 10 %, with the smallest volume marked.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import ndimage

from uad_jax.data.preprocessing import preprocess
from uad_jax.online import conformal
from uad_jax.online.score_checks import check_level
from uad_jax.prediction import reference
from uad_jax.prediction.detection import Detection
from uad_jax.trained_run import TrainedRun

ALPHA = 0.05
"""Default share of healthy scans with anything marked."""

BASE = '1'
"""Percentage of healthy voxels above the voxel threshold at which components form."""

FALLBACK = '5'
"""Percentage for the voxels that are marked where there are no healthy scans."""


class Decision(NamedTuple):
  """Rule by which the voxels of an anomaly map are marked.

  Attributes:
    percent: Choice of the voxel threshold: percentage of healthy voxels above it.
    alpha: Share of healthy scans with anything marked, in (0, 1); None marks all voxels
      at or above the threshold.
  """

  percent: str = BASE
  alpha: float | None = ALPHA


class Healthy(NamedTuple):
  """Calibration of a decision.

  Attributes:
    masses: Largest component mass of each healthy scan at the threshold [n]; empty if
      the run has stored none.
    factor: Factor of the p-values, the stacks of the scan by those of a healthy one.
  """

  masses: np.ndarray
  factor: int = 1


class Decided(NamedTuple):
  """Detection after a decision.

  Attributes:
    detection: Detection whose `marked` holds the marked components alone.
    p_values: p-value of each component of the detection, nan without healthy scans.
    p: Smallest p-value, 1 without a component; None without healthy scans.
    level: Largest p-value that is marked; None if all voxels at or above the threshold
      are marked.
  """

  detection: Detection
  p_values: np.ndarray
  p: float | None
  level: float | None


def choose(percent: str | None = None, alpha: float | None = None) -> Decision:
  """Returns the decision that options ask for; by default by components.

  Args:
    percent: Percentage of healthy voxels above the threshold, which then marks voxels.
    alpha: Share of healthy scans with anything marked, in (0, 1).

  Raises:
    ValueError: Both are given, or alpha is not in (0, 1).
  """
  if percent and alpha is not None:
    raise ValueError(
      f'percent {percent} and alpha {alpha} exclude each other: percent marks all '
      'voxels at or above a threshold, and alpha components by their p-value; give one'
    )
  if percent:
    return Decision(percent, None)
  alpha = ALPHA if alpha is None else alpha
  check_level('alpha', alpha)
  return Decision(BASE, alpha)


def healthy_of(
  run: TrainedRun, percent: str, chain: Sequence[Mapping[str, Any]], stacks: int = 1
) -> Healthy:
  """Reads the largest component masses of the healthy scans of a run.

  Args:
    run: Trained run.
    percent: Percentage of healthy voxels above the threshold.
    chain: Preprocessing steps of the scan, which decide whether the healthy scans are
      those with estimated masks, see `calibration.of_run`.
    stacks: Number of stacks of slices of the scan.
  """
  stored = reference.ranges(run, chain)
  masses = stored.get('masses', {}).get(run.scorer, {}).get(percent, ())
  factor = math.ceil(stacks / stored.get('stacks', stacks))
  return Healthy(np.array(masses, np.float64), factor)


def possible(rule: Decision, healthy: Healthy) -> Decision:
  """Returns a decision, or that by voxels if it needs healthy scans and has none.

  Args:
    rule: Decision that was chosen.
    healthy: Calibration of the run at its threshold.
  """
  if rule.alpha is not None and not len(healthy.masses):
    return Decision(FALLBACK, None)
  return rule


def p_values(healthy: Healthy, masses: np.ndarray) -> np.ndarray:
  """Computes the family-wise p-value of components by their masses.

  Args:
    healthy: Calibration.
    masses: Mass of each component [number], in score times ml.

  Returns:
    p-values [number]; nan without healthy scans.
  """
  if not len(healthy.masses) or not len(masses):
    return np.full(len(masses), np.nan)
  count = len(healthy.masses) + 1
  # From the whole numbers, so that the fraction is rounded once, as in `level`.
  ranks = np.rint(count * conformal.p_values(healthy.masses, masses))
  return np.minimum(healthy.factor * ranks / count, 1.0)


def level(healthy: Healthy, alpha: float) -> float:
  """Computes the level of a decision: alpha, or the smallest p-value if it is larger.

  Args:
    healthy: Calibration with at least one scan.
    alpha: Share of healthy scans with anything marked.
  """
  return max(alpha, min(1.0, healthy.factor / (len(healthy.masses) + 1)))


def decide(detection: Detection, healthy: Healthy, alpha: float | None) -> Decided:
  """Marks the components of a detection whose p-value is at most the level.

  Args:
    detection: Detection at the voxel threshold.
    healthy: Calibration, with at least one scan unless alpha is None.
    alpha: Share of healthy scans with anything marked, in (0, 1); None does not change
      the detection.
  """
  values = p_values(healthy, detection.components.masses)
  p = float(min(values, default=1.0)) if len(healthy.masses) else None
  if alpha is None:
    return Decided(detection, values, p, None)
  highest = level(healthy, alpha)
  kept = np.concatenate([[False], values <= highest])[detection.components.labels]
  changed = detection._replace(
    marked=detection.marked & kept,
    removed=detection.removed | (detection.marked & ~kept),
  )
  return Decided(changed, values, p, highest)


def native_numbers(detection: Detection, prepared: preprocess.Prepared) -> np.ndarray:
  """Resamples the numbers of the marked components to the native grid of a scan.

  The components grow by one voxel first: a native voxel whose interpolated score
  reaches the threshold lies at most one prepared voxel from one that does.

  Args:
    detection: Detection after the decision.
    prepared: Preprocessed scan of the detection.

  Returns:
    Number of the component with the largest mass in reach, 0 for none; int [X, Y, Z] of
    the scan.
  """
  kept = np.where(detection.marked, detection.components.labels, 0)
  return preprocess.restore(ndimage.maximum_filter(kept, 3), prepared, order=0)
