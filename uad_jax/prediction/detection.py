"""Functions that detect anomalies in one scan, on the voxel grid of the training data.

Prediction does what the evaluation does, with the same records, batches, random key,
inference, post-processing and threshold, so that a test scan gets exactly the
detections that it was evaluated by.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from uad_jax.data import pipeline, record
from uad_jax.data.preprocessing import preprocess
from uad_jax.data.preprocessing.nifti import BadScan
from uad_jax.evaluation import component_masses
from uad_jax.evaluation.component_masses import Components
from uad_jax.evaluation.measure import detected, scored
from uad_jax.evaluation.scans import Scan
from uad_jax.inference import scans_of
from uad_jax.trained_run import TrainedRun

SHOWN = ('reconstruction', 'gate')
"""Outputs of the method that are returned beside the anomaly map, if it has them."""


class Detection(NamedTuple):
  """Anomaly map of a preprocessed scan and masks of its detected voxels.

  Attributes:
    scores: Post-processed anomaly map, float32 [X, Y, Z]; its lowest score in the
      background and in slices that were not examined.
    brain: Brain mask in the examined slices, bool [X, Y, Z].
    marked: Detections: voxels at or above the threshold, without those in `removed`,
      bool [X, Y, Z].
    removed: Voxels at or above the threshold that post-processing removed, such as
      small components, bool [X, Y, Z].
    outputs: Outputs in `SHOWN` that the method gives, float32 [X, Y, Z]; 0 in slices
      that were not examined.
    components: Components of `marked`, each within its stack of slices, numbered by
      increasing mass.
  """

  scores: np.ndarray
  brain: np.ndarray
  marked: np.ndarray
  removed: np.ndarray
  outputs: dict[str, np.ndarray]
  components: Components


def stacks(prepared: preprocess.Prepared, run: TrainedRun) -> list[list[int]]:
  """Divides the slices of a scan into groups of equally spaced slices.

  Each group (stack) is processed like a scan of its own. If the evaluation used every
  n-th slice, each stack holds slices that are n apart: all slices are examined, and
  post-processing sees neighbours at the distance for which the thresholds were set. A
  volume is one stack of all its slices.

  Args:
    prepared: Scan that went through `run.steps`.
    run: Trained run.

  Returns:
    Slice indices of each stack.
  """
  if len(run.shape) == 3:
    return [list(range(prepared.image.shape[2]))]
  phases = [
    [k for k in prepared.slices if k % run.slice_step == phase]
    for phase in range(run.slice_step)
  ]
  return [phase for phase in phases if phase]


def records_of(prepared: preprocess.Prepared, run: TrainedRun) -> list[dict[str, Any]]:
  """Converts a preprocessed scan to a list of examples for the trained model.

  Each example (record) is a dict with one slice or the whole volume, as in a data set.
  Each stack of slices gets its own session, so that it is processed like a scan of its
  own.
  """
  depth = prepared.image.shape[2]
  common = {'subject': 'scan', 'affine': prepared.affine}
  arrays = {'image': prepared.image, 'mask': prepared.mask}
  if len(run.shape) == 3:
    volume = {'session': '', 'slice': -1, 'position': np.float32(0.5)}
    return [common | arrays | volume]
  return [
    common
    | {name: np.ascontiguousarray(array[:, :, k]) for name, array in arrays.items()}
    | {'session': str(number), 'slice': k}
    | {'position': np.float32(record.slice_height(k, depth))}
    for number, stack in enumerate(stacks(prepared, run))
    for k in stack
  ]


def inferred(prepared: preprocess.Prepared, run: TrainedRun) -> Iterator[Scan]:
  """Infers a preprocessed scan and yields one scan for each of its `stacks`.

  Args:
    prepared: Scan that went through `run.steps`.
    run: Trained run.
  """
  records = records_of(prepared, run)
  size = 1 if len(records) == 1 else run.batch_size  # a batch of copies takes longer
  batches = pipeline.ordered_batches(records, size)
  yield from scans_of(
    batches, 'predict', run.infer, run.params, run.stats, run.key, progress=False
  )


def check_finite(volume: np.ndarray, name: str) -> None:
  """Raises an error if a result of the model contains NaN or Inf.

  Args:
    volume: Result of the model, of any shape.
    name: Name of the result in the error message.

  Raises:
    BadScan: A value is NaN or Inf.
  """
  bad = np.count_nonzero(~np.isfinite(volume))
  if bad:
    raise BadScan(
      f'the {name} of the scan is NaN or Inf in {bad} voxels, so that nothing is '
      'written; allowed are scans like those that the run was trained on'
    )


def detect(
  prepared: preprocess.Prepared, run: TrainedRun, threshold: float
) -> Detection:
  """Computes the anomaly map and the detected voxels of a preprocessed scan.

  Args:
    prepared: Scan that went through `run.steps`.
    run: Trained run.
    threshold: Lowest score of a detected voxel.

  Returns:
    Anomaly map and masks on the grid of the preprocessed scan.

  Raises:
    BadScan: The anomaly map or another result is not finite.
  """
  grid = prepared.image.shape[:3]
  scores = np.full(grid, np.nan, np.float32)
  brain, marked, removed = (np.zeros(grid, bool) for _ in range(3))
  outputs, labels, masses = {}, np.zeros(grid, np.int32), []
  for scan, stack in zip(inferred(prepared, run), stacks(prepared, run), strict=True):
    soft, inside = scored(scan, run.scorer, run.postprocess)
    check_finite(soft[inside], f"anomaly map '{run.scorer}'")
    hard = detected(soft, inside, threshold, run.postprocess)
    background = ~inside & (soft <= soft[inside].min())
    scores[:, :, stack] = np.where(background, np.nan, soft)
    brain[:, :, stack], marked[:, :, stack] = inside, hard
    removed[:, :, stack] = (soft >= threshold) & inside & ~hard
    part = component_masses.measured(soft, hard, threshold, scan.voxel_ml)
    labels[:, :, stack] = np.where(part.labels, part.labels + len(masses), 0)
    masses.extend(part.masses)
    for name in SHOWN:
      if name in scan.arrays:
        volume = outputs.setdefault(name, np.zeros(grid, np.float32))
        volume[:, :, stack] = scan.arrays[name][..., 0]
        check_finite(volume, name)
  # Each stack has a lowest score of its own; the background gets that of the scan.
  scores = np.where(np.isnan(scores), np.float32(np.nanmin(scores)), scores)
  ordered = by_mass(Components(labels, np.array(masses, np.float64)))
  return Detection(scores, brain, marked, removed, outputs, ordered)


def by_mass(parts: Components) -> Components:
  """Numbers components anew, by increasing mass.

  The larger of two numbers then belongs to the component with the larger mass.
  """
  order = np.argsort(parts.masses, kind='stable')
  number = np.zeros(len(order) + 1, np.int32)
  number[1 + order] = 1 + np.arange(len(order))
  return Components(number[parts.labels], parts.masses[order])
