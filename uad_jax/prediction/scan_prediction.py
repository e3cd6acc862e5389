"""Function that predicts one preprocessed scan: domain, map, decision, resampling."""

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
from uad_jax.prediction.detection import detect, stacks
from uad_jax.prediction.native_space import Prediction, to_native, voxel_ml
from uad_jax.prediction.result_tables import lesion_components
from uad_jax.trained_run import TrainedRun


def predict_prepared(
  prepared: preprocess.Prepared, run: TrainedRun, chosen: Decision, refuse: bool = False
) -> Prediction:
  """Computes anomaly map and lesion mask of a preprocessed scan on its native grid.

  Warns if the brain mask was estimated with the template, and if the scan lies outside
  of the training domain or is unlike the healthy scans of the run, see `domain` and
  `reference`.

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
  threshold = calibration.thresholds(run, prepared.chain)[rule.percent]
  warn_if_estimated(prepared.chain)
  facts = domain.check(prepared, run, refuse)
  detection = detect(prepared, run, threshold)
  reference.check_share(detection, run, rule.percent, prepared.chain)
  decided = decision.decide(detection, healthy, rule.alpha)
  anomaly, lesion, brain, numbers = to_native(decided.detection, prepared, threshold)
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
      decided.p_values,
    ),
    {**facts, **decision_facts.facts(rule, decided, healthy), 'note': note},
  )
