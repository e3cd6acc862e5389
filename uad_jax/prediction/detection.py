"""Anomaly map and detections of one scan, on the grid that a run was trained on.

Prediction takes the way of the evaluation: the same records, batches, key, inference,
post-processing and threshold, so that a test scan gets the very voxels it was scored
by.
"""

from typing import Any, NamedTuple

import numpy as np

from uad_jax.data import pipeline, record
from uad_jax.data.preprocessing import preprocess
from uad_jax.evaluation.measure import detected, scored
from uad_jax.inference import scans_of
from uad_jax.trained_run import TrainedRun

SHOWN = ('reconstruction', 'gate')
"""Outputs that are given beside the anomaly map, where the method has them."""


class Detection(NamedTuple):
  """Anomaly map and detections of a scan on its prepared grid.

  Attributes:
    scores: Post-processed anomaly map, float32 [X, Y, Z]; its lowest score in the
      background and in slices that were not examined.
    brain: Brain mask in the examined slices, bool [X, Y, Z].
    marked: Voxels at or above the threshold, after the clean-up, bool [X, Y, Z].
    removed: Voxels at or above the threshold that the clean-up took, bool [X, Y, Z].
    outputs: Outputs in `SHOWN` that the method gives, float32 [X, Y, Z]; 0 in slices
      that were not examined.
  """

  scores: np.ndarray
  brain: np.ndarray
  marked: np.ndarray
  removed: np.ndarray
  outputs: dict[str, np.ndarray]


def stacks(prepared: preprocess.Prepared, run: TrainedRun) -> list[list[int]]:
  """Slices of a prepared scan by stack: one stack for each scan of the evaluation.

  Where the evaluation saw every n-th slice, the slices that lie n apart are a stack, so
  that all slices are examined and post-processing finds the neighbours that the
  thresholds were set with. A volume is one stack of all its slices.
  """
  if len(run.shape) == 3:
    return [list(range(prepared.image.shape[2]))]
  phases = [
    [k for k in prepared.slices if k % run.slice_step == phase]
    for phase in range(run.slice_step)
  ]
  return [phase for phase in phases if phase]


def records_of(prepared: preprocess.Prepared, run: TrainedRun) -> list[dict[str, Any]]:
  """Records of a prepared scan, as a data set holds them; a session for each stack."""
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


def detect(
  prepared: preprocess.Prepared, run: TrainedRun, threshold: float
) -> Detection:
  """Anomaly map, detections and shown outputs of a prepared scan.

  Args:
    prepared: Scan that went through `run.steps`.
    run: Trained run.
    threshold: Score from which on a voxel is marked.
  """
  grid = prepared.image.shape[:3]
  scores = np.full(grid, np.nan, np.float32)
  brain, marked, removed = (np.zeros(grid, bool) for _ in range(3))
  outputs = {}
  batches = pipeline.ordered_batches(records_of(prepared, run), run.batch_size)
  scans = scans_of(
    batches, 'predict', run.infer, run.params, run.stats, run.key, progress=False
  )
  for scan, stack in zip(scans, stacks(prepared, run), strict=True):
    soft, inside = scored(scan, run.scorer, run.postprocess)
    hard = detected(soft, inside, threshold, run.postprocess)
    background = ~inside & (soft <= soft[inside].min())
    scores[:, :, stack] = np.where(background, np.nan, soft)
    brain[:, :, stack], marked[:, :, stack] = inside, hard
    removed[:, :, stack] = (soft >= threshold) & inside & ~hard
    for name in SHOWN:
      if name in scan.arrays:
        volume = outputs.setdefault(name, np.zeros(grid, np.float32))
        volume[:, :, stack] = scan.arrays[name][..., 0]
  # Each stack has a lowest score of its own; the background gets that of the scan.
  scores = np.where(np.isnan(scores), np.float32(np.nanmin(scores)), scores)
  return Detection(scores, brain, marked, removed, outputs)
