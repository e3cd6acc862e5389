"""Functions that resample anomaly maps to a scan's native grid and write files."""

import functools
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import nibabel
import numpy as np
from scipy import ndimage

from uad_jax.data.preprocessing import nifti, nifti_header, preprocess
from uad_jax.data.preprocessing.picture import is_picture
from uad_jax.ops.choices import choose
from uad_jax.prediction import calibration, picture_files, sidecar
from uad_jax.prediction.decision import native_numbers
from uad_jax.prediction.detection import Detection
from uad_jax.report.atomic_files import write_together
from uad_jax.report.overlay import overlay
from uad_jax.trained_run import TrainedRun

Writer = Callable[[pathlib.Path], object]
"""Function that writes a file to a path."""


class Prediction(NamedTuple):
  """Anomaly map and lesion mask of one scan, on the scan's native voxel grid.

  Attributes:
    anomaly: Anomaly map, float32 [X, Y, Z]; its lowest score outside of the brain.
    lesion: Lesion mask, uint8 [X, Y, Z]: brain voxels with an anomaly score at or above
      `threshold`, post-processed, in components that the decision marks.
    marked: Share of brain voxels that are in the lesion mask, in [0, 1].
    outputs: Volumes float32 [X, Y, Z] by name: 'reconstruction', and 'gate' where the
      method has one.
    affine: Affine of the scan from voxel indices to mm, 4x4.
    scorer: Name of the scorer of the run that computed the anomaly map.
    threshold: Lowest anomaly score of a lesion voxel.
    chain: Package versions and preprocessing steps with their measurements.
    brain_ml: Volume of the examined part of the brain, in ml; NaN if unknown.
    header: Header of the scan, for `save`; None for another format.
    components: Numbers of each lesion component, see `result_tables.COMPONENT`.
    facts: Entries about the decision and the training domain, see `decision_facts` and
      `domain.check`: 'p' is the smallest p-value of a component of the scan.
  """

  anomaly: np.ndarray
  lesion: np.ndarray
  marked: float
  outputs: dict[str, np.ndarray]
  affine: np.ndarray
  scorer: str
  threshold: float
  chain: list[dict[str, Any]]
  brain_ml: float = float('nan')
  header: nibabel.analyze.AnalyzeHeader | None = None
  components: Sequence[Sequence[float | None]] = ()
  facts: Mapping[str, Any] = MappingProxyType({})

  def volumes(self) -> dict[str, np.ndarray]:
    """Returns all volumes [X, Y, Z] by name: 'anomaly', 'lesion' and the outputs."""
    return {'anomaly': self.anomaly, 'lesion': self.lesion, **self.outputs}

  def save(self, path: str | os.PathLike, volume: str = 'anomaly') -> None:
    """Writes a volume as a NIfTI file with the geometry of the scan.

    Codes, qform, sform and units of the header are those of the scan, as in the files
    of the command `uad-predict`. The file for a picture holds one slice, in mm.

    Args:
      path: File to write, which ends in .nii or .nii.gz.
      volume: Name of the volume: 'anomaly', 'lesion' or a key of `outputs`.

    Raises:
      ValueError: There is no volume of this name.
    """
    save(choose('volume', volume, self.volumes()), self, pathlib.Path(path))


def to_native(
  detection: Detection, prepared: preprocess.Prepared, threshold: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
  """Computes anomaly map, lesion mask and brain mask on the native grid of a scan.

  The anomaly map is interpolated linearly and the threshold is applied on the native
  grid, so that the lesion mask agrees with the map. Components that post-processing,
  whose size limit counts voxels of the prepared grid, or the decision removed there are
  removed together with a border of one voxel.

  Args:
    detection: Detection on the grid of the preprocessed scan.
    prepared: Preprocessed scan of the detection.
    threshold: Threshold of the detection.

  Returns:
    Anomaly map float32, lesion mask bool, brain mask bool and `native_numbers` int,
    [X, Y, Z] of the scan.
  """
  scores = detection.scores
  anomaly = preprocess.restore(scores, prepared, fill=float(scores.min()))
  brain = preprocess.restore(detection.brain.astype(np.float32), prepared) > 0.5
  border = ndimage.binary_dilation(detection.removed, np.ones((3, 3, 3)))
  removed = preprocess.restore(
    (border & ~detection.marked).astype(np.uint8), prepared, order=0
  )
  numbers = native_numbers(detection, prepared)
  lesion = (anomaly >= threshold) & brain & (removed == 0) & (numbers > 0)
  return anomaly, lesion, brain, numbers


def masks_of(run: TrainedRun, chain: list[dict[str, Any]]) -> str:
  """Returns a phrase that names the scans on which the threshold was set.

  Args:
    run: Trained run.
    chain: Preprocessing steps of the predicted scan; they decide which threshold
      applies, see `calibration.of_run`.
  """
  if calibration.of_run(run, chain):
    return 'validation scans with estimated brain masks'
  return 'validation scans as prepared for the training'


def voxel_ml(affine: np.ndarray) -> float:
  """Returns the volume of a voxel in ml.

  Args:
    affine: Affine from voxel indices to mm, 4x4.
  """
  return abs(float(np.linalg.det(affine[:3, :3]))) / 1000


def files_of(prediction: Prediction, scan: pathlib.Path) -> dict[str, Writer]:
  """Returns one function for each file of a prediction, which writes this file.

  Args:
    prediction: Prediction for the scan.
    scan: File of the scan, NIfTI or a picture.

  Returns:
    Functions by the last part of the file name, such as 'lesion.nii.gz'.
  """
  volumes = prediction.volumes()
  if is_picture(scan):
    (channel,) = (s['channel'] for s in prediction.chain if s.get('step') == 'picture')
    return picture_files.writers(scan, volumes, prediction.threshold, channel)
  native = nifti.read_image(scan)
  picture = overlay(
    native.data,
    prediction.anomaly,
    prediction.lesion,
    prediction.affine,
    prediction.threshold,
  )
  writers: dict[str, Writer] = {
    f'{kind}.nii.gz': functools.partial(save, volume, native)
    for kind, volume in volumes.items()
  }
  return writers | {'overlay.png': lambda path: path.write_bytes(picture)}


def save(
  volume: np.ndarray, scan: nifti.Volume | Prediction, path: pathlib.Path
) -> None:
  """Writes a volume as a NIfTI file with the voxel grid and orientation of a scan.

  Args:
    volume: Volume [X, Y, Z] on the grid of the scan.
    scan: Scan, or its prediction, with the header and the affine for the file.
    path: File to write.
  """
  image = nifti_header.image_like(volume, scan.header, scan.affine, sidecar.MARK)
  nibabel.save(image, path)


def write(
  prediction: Prediction,
  writers: Mapping[str, Writer],
  run: TrainedRun,
  target: pathlib.Path,
  facts: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
  """Writes the files of a prediction and the JSON file that describes it.

  All files are first written completely under temporary names and then renamed, the
  JSON file last. Files of an earlier prediction that are not replaced are deleted.

  Args:
    prediction: Prediction for the scan.
    writers: Functions from `files_of`.
    run: Trained run that made the prediction.
    target: Common start of the paths, before '_anomaly.nii.gz'; a missing folder is
      created.
    facts: Additional entries for the JSON file, such as the path of the scan.

  Returns:
    Content of the JSON file.
  """
  files = {
    target.with_name(f'{target.name}_{end}'): writer for end, writer in writers.items()
  }
  percent = prediction.facts['percent']
  content = {
    **(facts or {}),
    'run': run.folder.name,
    'map': prediction.scorer,
    'threshold': prediction.threshold,
    'threshold_means': f'{percent} % of healthy validation brain voxels lie above it',
    'threshold_set_on': masks_of(run, prediction.chain),
    **prediction.facts,
    'lesion_ml': float(prediction.lesion.sum()) * voxel_ml(prediction.affine),
    'lesions': len(prediction.components),
    'brain_ml': prediction.brain_ml,
    sidecar.OURS: prediction.marked,
    'reconstruction_unit': 'normalised intensity, see preprocessing',
    'preprocessing': prediction.chain,
    'warning': 'research software; not for clinical use',
    'files': [path.name for path in files],
    sidecar.LESIONS: prediction.components,
  }
  text = sidecar.render(content)
  described = target.with_name(f'{target.name}.json')
  earlier = sidecar.read(described)
  write_together({**files, described: lambda path: path.write_text(text)})
  for name in {*earlier.get('files', ())} - {*content['files']}:
    described.with_name(name).unlink(missing_ok=True)
  return content
