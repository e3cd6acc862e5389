"""Command `uad-predict`: writes the anomaly maps of scans on their native voxel grids.

  python -m uad_jax.predict --checkpoint=runs/dae_unc --input=scan.nii.gz --output=maps

The maps are computed by a trained run (`--checkpoint`). The input is a file, a folder
of files or a BIDS folder. For each scan NAME are written:
NAME_anomaly.nii.gz (anomaly map), NAME_lesion.nii.gz (voxels at or above the run's
threshold), NAME_reconstruction.nii.gz, NAME_gate.nii.gz where the method has a gate,
NAME_overlay.png and NAME.json. Research software; not for clinical use.
"""

import os
import pathlib
import sys

import nibabel
import numpy as np
from absl import flags

from uad_jax import cli
from uad_jax.data.preprocessing import nifti, preprocess
from uad_jax.prediction.detection import detect
from uad_jax.prediction.native_space import Prediction, to_native, write
from uad_jax.progress import Progress
from uad_jax.trained_run import TrainedRun, load

FLAGS = flags.FLAGS
PERCENT = '5'
"""Default threshold: this percentage of healthy validation voxels lies above it."""

DOUBTFUL = 0.25
"""If more than this share of the brain is detected, it is hardly a lesion: the scan is
probably of another kind (contrast, scanner, skull stripping) than those of training."""


def predict(
  image: str | os.PathLike | nibabel.Nifti1Image,
  run: str | os.PathLike | TrainedRun,
  *,
  mask: str | os.PathLike | None = None,
  labels: str | os.PathLike | None = None,
  percent: str = PERCENT,
) -> Prediction:
  """Computes the anomaly map and the lesion mask of one scan with a trained model.

  The model is that of a finished run. Inference, post-processing and threshold are
  those of the run's evaluation.

  Args:
    image: NIfTI file or nibabel image, 3-D.
    run: Run folder of a finished run, or a run that `load` opened.
    mask: Brain mask on the scan's grid; without one it is estimated, with a warning.
    labels: Anatomy labels on the scan's grid, which also give the brain mask.
    percent: Threshold of the run: '1', '5' or '10' % of healthy voxels lie above it.

  Raises:
    BadScan: The file cannot be used; the message says why.
    ValueError: The run has no such threshold.
  """
  run = run if isinstance(run, TrainedRun) else load(run)
  if percent not in run.thresholds:
    raise ValueError(
      f"run {run.folder} has no threshold at '{percent}' % of healthy voxels; "
      f'there are {", ".join(run.thresholds)}'
    )
  threshold = run.thresholds[percent]
  prepared = preprocess.prepare_scan(image, run.steps, mask=mask, labels=labels)
  detection = detect(prepared, run, threshold)
  anomaly, lesion, brain = to_native(detection, prepared, threshold)
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
  )


def find_scans(source: str, pattern: str) -> list[pathlib.Path]:
  """Lists the NIfTI files of an input: a file, a BIDS folder or a flat folder.

  Args:
    source: File or folder.
    pattern: Glob pattern of the files below a folder; '' for all NIfTI files in the
      anat/ folders of a BIDS folder, or else for those directly in the folder.

  Raises:
    FileNotFoundError: The source is missing or holds no scan.
  """
  path = pathlib.Path(source)
  if not path.exists():
    raise FileNotFoundError(f'--input {source} does not exist')
  if path.is_file():
    return [path]
  patterns = [pattern] if pattern else ['sub-*/**/anat/*.nii*', '*.nii*']
  for glob in patterns:
    scans = sorted(p for p in path.glob(glob) if p.name.endswith(nifti.SUFFIXES))
    if scans:
      return scans
  raise FileNotFoundError(
    f'--input {source} holds no scans; it was searched for {" and ".join(patterns)}'
  )


def main(_: list[str]) -> None:
  """Computes and writes the anomaly maps of all scans in `--input`.

  A scan that cannot be used stops the command; with `--keep_going` it is left out and
  listed at the end.

  Raises:
    ValueError: A mask or labels are given for several scans.
  """
  scans = find_scans(FLAGS.input, FLAGS.pattern)
  if (FLAGS.mask or FLAGS.labels) and len(scans) > 1:
    raise ValueError(f'--mask and --labels go with one scan; --input has {len(scans)}')
  run = load(FLAGS.checkpoint, FLAGS.scorer or None)
  folder, bad, doubtful = pathlib.Path(FLAGS.output), [], []
  shown = Progress(len(scans), 'predict')
  for done, scan in enumerate(scans):
    try:
      options = {'mask': FLAGS.mask or None, 'labels': FLAGS.labels or None}
      prediction = predict(scan, run, percent=FLAGS.percent, **options)
      write(prediction, scan, run, folder, FLAGS.percent)
      if prediction.marked > DOUBTFUL:
        doubtful.append(f'{scan.name}: {prediction.marked:.0%} of the brain is marked')
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
  """Defines the command-line flags of `uad-predict`."""
  flags.DEFINE_string('checkpoint', None, 'Run folder of a finished run.')
  flags.DEFINE_string('input', None, 'Scan, folder of scans or BIDS folder.')
  flags.DEFINE_string('output', None, 'Folder for the results.')
  flags.DEFINE_string('pattern', '', 'Glob pattern of the scans below a folder.')
  flags.DEFINE_string('mask', '', "Brain mask on the scan's grid.")
  flags.DEFINE_string('labels', '', "Anatomy labels on the scan's grid.")
  flags.DEFINE_string('scorer', '', 'Anomaly map of the run; its default map if empty.')
  flags.DEFINE_string('percent', PERCENT, 'Threshold: 1, 5 or 10 % of healthy voxels.')
  flags.DEFINE_bool(
    'keep_going', False, 'Leave bad scans out and list them at the end.'
  )
  flags.mark_flags_as_required(['checkpoint', 'input', 'output'])


def command() -> None:
  """Entry point of the command `uad-predict`: defines its flags and runs `main`."""
  define_flags()
  cli.run(main)


if __name__ == '__main__':
  command()
