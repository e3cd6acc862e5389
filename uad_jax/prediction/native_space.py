"""Functions that resample anomaly maps to a scan's native grid and write files."""

import json
import os
import pathlib
from typing import Any, NamedTuple

import nibabel
import numpy as np
from scipy import ndimage

from uad_jax.data.preprocessing import nifti, preprocess
from uad_jax.prediction.detection import Detection
from uad_jax.report.atomic_files import write_atomically, write_text
from uad_jax.report.overlay import overlay
from uad_jax.trained_run import TrainedRun


class Prediction(NamedTuple):
  """Anomaly map and lesion mask of one scan, on the scan's native voxel grid.

  Attributes:
    anomaly: Anomaly map, float32 [X, Y, Z]; its lowest score outside of the brain.
    lesion: Lesion mask, uint8 [X, Y, Z]: brain voxels with an anomaly score at or above
      `threshold`, post-processed.
    marked: Share of the brain that is detected, in [0, 1].
    outputs: Volumes float32 [X, Y, Z] by name: 'reconstruction', and 'gate' where the
      method has one.
    affine: 4x4, voxel to mm of the scan.
    scorer: Name of the anomaly map in the run.
    threshold: Threshold on the anomaly map.
    chain: Package versions and preprocessing steps with their measurements.
  """

  anomaly: np.ndarray
  lesion: np.ndarray
  marked: float
  outputs: dict[str, np.ndarray]
  affine: np.ndarray
  scorer: str
  threshold: float
  chain: list[dict[str, Any]]


def to_native(
  detection: Detection, prepared: preprocess.Prepared, threshold: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Computes anomaly map, lesion mask and brain mask on the native grid of a scan.

  The anomaly map is interpolated linearly and the threshold is applied on the native
  grid, so that the lesion mask agrees with the map. Components that post-processing
  removed on the prepared grid, whose voxels its size limit counts, are removed together
  with a border of one voxel.

  Args:
    detection: Detection on the grid of the preprocessed scan.
    prepared: Preprocessed scan of the detection.
    threshold: Threshold of the detection.

  Returns:
    Anomaly map float32, lesion mask bool and brain mask bool, [X, Y, Z] of the scan.
  """
  scores = detection.scores
  anomaly = preprocess.restore(scores, prepared, fill=float(scores.min()))
  brain = preprocess.restore(detection.brain.astype(np.float32), prepared) > 0.5
  border = ndimage.binary_dilation(detection.removed, np.ones((3, 3, 3)))
  removed = preprocess.restore(
    (border & ~detection.marked).astype(np.uint8), prepared, order=0
  )
  return anomaly, (anomaly >= threshold) & brain & (removed == 0), brain


def write(
  prediction: Prediction,
  scan: pathlib.Path,
  run: TrainedRun,
  folder: pathlib.Path,
  percent: str,
) -> None:
  """Writes the prediction for one scan as NIfTI files, a picture and a JSON file.

  The JSON file is written last, so its presence shows that all files are complete.

  Args:
    prediction: Prediction for the scan.
    scan: NIfTI file of the scan, whose name the files take.
    run: Trained run that made the prediction.
    folder: Folder to write to; made where it is missing.
    percent: Percentage of healthy voxels above the threshold, as in `predict`.
  """
  folder.mkdir(parents=True, exist_ok=True)
  name = scan.name.removesuffix('.gz').removesuffix('.nii')
  volumes = {
    'anomaly': prediction.anomaly,
    'lesion': prediction.lesion,
    **prediction.outputs,
  }
  for kind, volume in volumes.items():
    target = folder / f'{name}_{kind}.nii.gz'
    part = folder / f'.{name}_{kind}.part.nii.gz'
    nibabel.save(nibabel.Nifti1Image(volume, prediction.affine), part)
    os.replace(part, target)
  native = nifti.read_image(scan)
  picture = overlay(
    native.data,
    prediction.anomaly,
    prediction.lesion,
    prediction.affine,
    prediction.threshold,
  )
  write_atomically(folder / f'{name}_overlay.png', lambda file: file.write(picture))
  voxel_ml = abs(float(np.linalg.det(prediction.affine[:3, :3]))) / 1000
  sidecar = {
    'scan': scan.name,
    'run': run.folder.name,
    'map': prediction.scorer,
    'threshold': prediction.threshold,
    'threshold_means': f'{percent} % of healthy validation brain voxels lie above it',
    'lesion_ml': float(prediction.lesion.sum()) * voxel_ml,
    'marked_share_of_brain': prediction.marked,
    'reconstruction_unit': 'normalised intensity, see preprocessing',
    'preprocessing': prediction.chain,
    'warning': 'research software; not for clinical use',
  }
  write_text(folder / f'{name}.json', json.dumps(sidecar, indent=1, default=str))
