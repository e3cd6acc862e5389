"""Functions between a detection and a stream: its maps, decision and sidecar."""

from typing import Any

import numpy as np

from uad_jax.data.preprocessing.preprocess import Prepared
from uad_jax.evaluation.component_masses import Components
from uad_jax.online.guards import Log
from uad_jax.online.scan_decision import Calibration
from uad_jax.online.scan_maps import Maps
from uad_jax.online.stream_state import Decision, Stream
from uad_jax.prediction.decision import Healthy, level
from uad_jax.prediction.decision_facts import MORE
from uad_jax.prediction.detection import Detection, by_mass

STREAM = 'stream'
"""Name of the decision in sidecars and tables."""


def maps_of(prepared: Prepared, detection: Detection) -> Maps:
  """Returns the maps of a scan for a stream.

  The residual is scan - reconstruction of the first contrast; of a method without a
  reconstruction it is the score minus its median in the brain. It is 0 outside.

  Args:
    prepared: Preprocessed scan.
    detection: Its detection.
  """
  brain, scores = detection.brain, detection.scores
  if 'reconstruction' in detection.outputs:
    residual = prepared.image[..., 0] - detection.outputs['reconstruction']
  else:
    residual = scores - np.median(scores[brain])
  residual = np.where(brain, residual, 0).astype(np.float32)
  return Maps(residual, scores, brain.astype(np.float32))


def detection_of(
  decision: Decision, detection: Detection, voxel: float
) -> tuple[Detection, np.ndarray]:
  """Returns the detection that a stream decided on, and the p-value of each component.

  Args:
    decision: Decision of the stream.
    detection: Detection by the run.
    voxel: Volume of a voxel of the prepared grid, ml.
  """
  labels, masses = decision.marks
  order = np.argsort(masses, kind='stable')  # that of `by_mass`
  changed = detection._replace(
    scores=decision.anomaly,
    marked=decision.marked,
    removed=(labels > 0) & ~decision.marked,
    components=by_mass(Components(labels, masses * voxel)),
  )
  return changed, decision.component_p[order]


def note(calibration: Calibration, alpha: float) -> str:
  """Returns a sentence about too few healthy subjects for alpha; '' for none.

  Args:
    calibration: Calibration of a stream, with one scan a subject.
    alpha: Share of healthy scans that may be flagged.
  """
  smallest = level(Healthy(calibration.scores), alpha)
  if smallest <= alpha:
    return ''
  return (
    f'with {len(calibration.scores)} healthy subjects no conformal p-value of the '
    f'stream is below {smallest:.2g}; smaller ones come from a tail fitted to so few '
    f'scans, and more than alpha = {alpha:g} of healthy scans may be flagged; {MORE}'
  )


def facts_of(stream: Stream, decision: Decision, line: Log) -> dict[str, Any]:
  """Returns the entries of the sidecar about a decision of a stream.

  Args:
    stream: State before the scan.
    decision: The decision.
    line: Line of the log; with the components, in score times voxels, it is the entry
      'online'.
  """
  settings, healthy = stream.settings, stream.calibration.healthy
  pairs = zip(decision.component_p, decision.marks.masses, strict=True)
  parts = [{'p': float(p), 'mass': float(mass)} for p, mass in pairs]
  few = note(stream.calibration, settings.alpha)
  return {
    'percent': f'{100 * settings.share:g}',
    'decision': STREAM,
    'alpha': settings.alpha,
    'p': decision.p_value,
    'decision_means': (
      f'components of the filtered map with p <= {settings.alpha:g}, or the level to '
      'which answers of readers moved it, are marked, family-wise over a scan'
      f'{" as far as a fitted tail holds" if few else ""}'
    ),
    'healthy_scans': healthy,
    'threshold_set_on': f'the filtered maps of {healthy} healthy scans',
    'note': few,
    'online': {**line, 'components': parts},
  }
