"""Anomaly maps of one's own scans, in the scans' own grid.

  python -m uad_jax.predict --checkpoint=runs/dae_unc --input=scan.nii.gz --output=maps

The input may be a file, a folder of files or a BIDS folder. For each scan NAME:
NAME_anomaly.nii.gz (soft), NAME_lesion.nii.gz (above the threshold that the run
carries), NAME_reconstruction.nii.gz, NAME_gate.nii.gz where the method has one,
NAME_overlay.png and NAME.json. Not for clinical use.
"""

import json
import os
import pathlib
import sys
from typing import Any, NamedTuple

import nibabel
import numpy as np
from absl import flags

from uad_jax import cli
from uad_jax.data.preprocessing import nifti, preprocess
from uad_jax.evaluation.postprocess import preset
from uad_jax.progress import Progress
from uad_jax.report.overlay import overlay
from uad_jax.trained_run import SHOWN, TrainedRun, load, maps_of

FLAGS = flags.FLAGS
PERCENT = '5'
"""The default threshold: this percentage of healthy validation voxels lies above it."""

DOUBTFUL = 0.25
"""More of a brain than this is hardly lesion: the scan is of another kind."""


class Prediction(NamedTuple):
  """What the model says of a scan, on the scan's own grid.

  Attributes:
    anomaly: [X, Y, Z] float32, the soft map of `scorer`; its lowest value outside.
    lesion: [X, Y, Z] uint8, anomaly above `threshold`.
    marked: The share of the brain that is lesion.
    outputs: [X, Y, Z] float32 by name: 'reconstruction', and 'gate' where there is one.
    affine: Of the scan.
    scorer: Which map of the run it is.
    threshold: On the map.
    chain: The preprocessing, with its findings and versions.
  """

  anomaly: np.ndarray
  lesion: np.ndarray
  marked: float
  outputs: dict[str, np.ndarray]
  affine: np.ndarray
  scorer: str
  threshold: float
  chain: list[dict[str, Any]]


def predict(
  image: str | os.PathLike | nibabel.Nifti1Image,
  run: str | os.PathLike | TrainedRun,
  *,
  mask: str | os.PathLike | None = None,
  labels: str | os.PathLike | None = None,
  percent: str = PERCENT,
) -> Prediction:
  """Applies a trained run to one scan.

  Soft maps are brought to the scan's grid first and thresholded there.

  Args:
    image: NIfTI file or nibabel image, 3-D.
    run: The workdir of a finished run, or what `load` gave.
    mask: Brain mask on the scan's grid; it is estimated, with a warning, without one.
    labels: Anatomy labels on the scan's grid, which give the brain mask too.
    percent: Which of the run's thresholds: '1', '5' or '10' % of healthy voxels.

  Raises:
    BadScan: The file cannot be used, with the reason.
    ValueError: There is no such threshold.
  """
  run = run if isinstance(run, TrainedRun) else load(run)
  if percent not in run.thresholds:
    raise ValueError(
      f"run {run.folder} has no threshold at '{percent}' % of healthy voxels; "
      f'there are {", ".join(run.thresholds)}'
    )
  prepared = preprocess.prepare_scan(image, run.steps, mask=mask, labels=labels)
  maps = maps_of(prepared, run)
  brain = np.zeros(prepared.image.shape[:3], bool)
  brain[:, :, list(prepared.slices)] = prepared.mask[..., 0][:, :, prepared.slices] > 0
  chain = preset(run.postprocess)
  soft = chain.soft(maps['anomaly'], brain)
  anomaly = preprocess.restore(soft, prepared, fill=float(soft.min()))
  threshold = run.thresholds[percent]
  inside = preprocess.restore(brain.astype(np.float32), prepared) > 0.5
  lesion = chain.hard((anomaly > threshold) & inside)
  outputs = {n: preprocess.restore(maps[n], prepared) for n in SHOWN if n in maps}
  return Prediction(
    anomaly,
    lesion.astype(np.uint8),
    float(lesion.sum() / max(inside.sum(), 1)),
    outputs,
    prepared.native_affine,
    run.scorer,
    threshold,
    prepared.chain,
  )


def write(
  prediction: Prediction, scan: pathlib.Path, run: TrainedRun, folder, percent
) -> None:
  """Writes all files of one scan; the sidecar last, so that it marks a whole result."""
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
  png = overlay(
    native.data,
    prediction.anomaly,
    prediction.lesion,
    prediction.affine,
    prediction.threshold,
  )
  (folder / f'{name}_overlay.png').write_bytes(png)
  voxel_ml = abs(float(np.linalg.det(prediction.affine[:3, :3]))) / 1000
  told = {
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
  (folder / f'{name}.json').write_text(json.dumps(told, indent=1, default=str))


def find_scans(given: str, pattern: str) -> list[pathlib.Path]:
  """The scans of a file, a BIDS folder (all of anat/) or a flat folder."""
  path = pathlib.Path(given)
  if not path.exists():
    raise FileNotFoundError(f'--input {given} does not exist')
  if path.is_file():
    return [path]
  patterns = [pattern] if pattern else ['sub-*/**/anat/*.nii*', '*.nii*']
  for each in patterns:
    found = sorted(p for p in path.glob(each) if p.name.endswith(nifti.SUFFIXES))
    if found:
      return found
  raise FileNotFoundError(
    f'--input {given} holds no scans; it was searched for {" and ".join(patterns)}'
  )


def main(_: list[str]) -> None:
  """Predicts every scan; a bad one stops the job, or is listed at the end."""
  scans = find_scans(FLAGS.input, FLAGS.pattern)
  if (FLAGS.mask or FLAGS.labels) and len(scans) > 1:
    raise ValueError(f'--mask and --labels go with one scan; --input has {len(scans)}')
  run = load(FLAGS.checkpoint, FLAGS.scorer or None)
  folder, bad, doubtful = pathlib.Path(FLAGS.output), [], []
  shown = Progress(len(scans), 'predict')
  for done, scan in enumerate(scans):
    try:
      options = {'mask': FLAGS.mask or None, 'labels': FLAGS.labels or None}
      found = predict(scan, run, percent=FLAGS.percent, **options)
      write(found, scan, run, folder, FLAGS.percent)
      if found.marked > DOUBTFUL:
        doubtful.append(f'{scan.name}: {found.marked:.0%} of the brain is marked')
    except nifti.BadScan as problem:
      if not FLAGS.keep_going:
        raise
      bad.append(str(problem))
    shown.update(done + 1, scan.name)
  shown.close()
  print(f'{len(scans) - len(bad)} of {len(scans)} scans predicted in {folder}')
  for problem in bad:
    print(f'left out: {problem}')
  for problem in doubtful:
    print(
      f'doubtful: {problem}; the scan may be of another kind (contrast, scanner, '
      'stripping) than those of the training'
    )
  if len(bad) == len(scans):
    sys.exit(1)


def define_flags() -> None:
  """The flags of the command."""
  flags.DEFINE_string('checkpoint', None, 'Workdir of a finished run.')
  flags.DEFINE_string('input', None, 'Scan, folder of scans or BIDS folder.')
  flags.DEFINE_string('output', None, 'Folder for the results.')
  flags.DEFINE_string('pattern', '', 'Glob of the scans below a folder.')
  flags.DEFINE_string('mask', '', "Brain mask on the scan's grid.")
  flags.DEFINE_string('labels', '', "Anatomy labels on the scan's grid.")
  flags.DEFINE_string('scorer', '', 'Another map of the run than its default.')
  flags.DEFINE_string('percent', PERCENT, 'Threshold: 1, 5 or 10 % of healthy voxels.')
  flags.DEFINE_bool(
    'keep_going', False, 'Leave bad scans out and list them at the end.'
  )
  flags.mark_flags_as_required(['checkpoint', 'input', 'output'])


if __name__ == '__main__':
  define_flags()
  cli.run(main)
