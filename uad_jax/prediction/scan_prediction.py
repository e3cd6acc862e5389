"""Functions that predict a preprocessed scan: domain, map, decision, resampling."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from uad_jax.data.preprocessing import preprocess
from uad_jax.data.preprocessing.steps.brain import warn_if_estimated
from uad_jax.prediction import (
  calibration,
  decision,
  decision_facts,
  domain,
  reference,
)
from uad_jax.prediction.decision import Decision
from uad_jax.prediction.detection import Detection, detect, stacks
from uad_jax.prediction.native_space import Prediction, to_native, voxel_ml
from uad_jax.prediction.result_tables import lesion_components
from uad_jax.trained_run import TrainedRun


def predict_prepared(
  prepared: preprocess.Prepared, run: TrainedRun, chosen: Decision, refuse: bool = False
) -> Prediction:
  """Computes anomaly map and lesion mask of a preprocessed scan on its native grid.

  Args:
    prepared: Scan that went through `run.steps`.
    run: Trained run.
    chosen: Decision which voxels are marked.
    refuse: Whether a scan outside of the training domain is an error.

  Raises:
    BadScan: The scan is refused, or the anomaly map is not finite.
  """
  parts = len(stacks(prepared, run))
  healthy = decision.healthy_of(run, chosen.percent, prepared.chain, parts)
  rule, note = decision.possible(chosen, healthy), decision_facts.note(chosen, healthy)
  detection, facts = examined(prepared, run, rule.percent, refuse)
  decided = decision.decide(detection, healthy, rule.alpha)
  facts |= {**decision_facts.facts(rule, decided, healthy), 'note': note}
  threshold = calibration.thresholds(run, prepared.chain)[rule.percent]
  return on_native_grid(
    decided.detection, prepared, run, threshold, decided.p_values, facts
  )


def examined(
  prepared: preprocess.Prepared, run: TrainedRun, percent: str, refuse: bool
) -> tuple[Detection, dict[str, Any]]:
  """Compares a preprocessed scan with the healthy scans of a run, and detects.

  Warns if the brain mask was estimated with the template, and if the scan lies outside
  of the training domain or is unlike the healthy scans of the run, see `domain` and
  `reference`.

  Args:
    prepared: Scan that went through `run.steps`.
    run: Trained run.
    percent: Percentage of healthy voxels above the threshold.
    refuse: Whether a scan outside of the training domain is an error.

  Returns:
    Detection at the threshold, and entries of the sidecar from `domain.check`.

  Raises:
    BadScan: The scan is refused, or the anomaly map is not finite.
  """
  warn_if_estimated(prepared.chain)
  facts = domain.check(prepared, run, refuse)
  threshold = calibration.thresholds(run, prepared.chain)[percent]
  detection = detect(prepared, run, threshold)
  reference.check_share(detection, run, percent, prepared.chain)
  return detection, facts


def on_native_grid(
  detection: Detection,
  prepared: preprocess.Prepared,
  run: TrainedRun,
  threshold: float,
  p_values: np.ndarray,
  facts: Mapping[str, Any],
) -> Prediction:
  """Resamples a decided detection to the native grid and measures its components.

  Args:
    detection: Detection after the decision.
    prepared: Preprocessed scan of the detection.
    run: Trained run.
    threshold: Lowest score of a marked voxel.
    p_values: p-value of each component of the detection.
    facts: Entries of the sidecar.
  """
  anomaly, lesion, brain, numbers = to_native(detection, prepared, threshold)
  outputs = {
    name: preprocess.restore(volume, prepared)
    for name, volume in detection.outputs.items()
  }
  return Prediction(
    anomaly,
    lesion.astype(np.uint8),
    float(lesion.sum() / max(brain.sum(), 1)),
    outputs,
    prepared.native_affine,
    run.scorer,
    threshold,
    prepared.chain,
    float(brain.sum()) * voxel_ml(prepared.native_affine),
    prepared.header,
    lesion_components(
      lesion,
      anomaly,
      prepared.native_affine,
      numbers,
      detection.components.masses,
      p_values,
    ),
    facts,
  )
