"""Anomaly maps of one's own scans, in the scans' own grid.

  python -m uad_jax.predict --checkpoint=runs/dae_unc --input=scan.nii.gz --output=maps

The input may be a file, a folder of files or a BIDS folder. For each scan NAME:
NAME_anomaly.nii.gz (soft), NAME_lesion.nii.gz (above the threshold that the run
carries), NAME_reconstruction.nii.gz, NAME_gate.nii.gz where the method has one,
NAME_overlay.png and NAME.json. Not for clinical use.
"""

import functools
import json
import os
import pathlib
import sys
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import nibabel
import numpy as np
from absl import flags
from ml_collections import ConfigDict

from uad_jax import checkpoint, command, experiment
from uad_jax.data import nifti, preprocess, record
from uad_jax.method import bind, init_state
from uad_jax.postprocess import preset
from uad_jax.progress import Progress
from uad_jax.report.overlay import overlay

FLAGS = flags.FLAGS
PERCENT = '5'
"""The default threshold: this percentage of healthy validation voxels lies above it."""

BATCH = 16
SHOWN = ('reconstruction', 'gate')


class Prediction(NamedTuple):
  """What the model says of a scan, on the scan's own grid.

  Attributes:
    anomaly: [X, Y, Z] float32, the soft map of `scorer`; its lowest value outside.
    lesion: [X, Y, Z] uint8, anomaly above `threshold`.
    outputs: [X, Y, Z] float32 by name: 'reconstruction', and 'gate' where there is one.
    affine: Of the scan.
    scorer: Which map of the run it is.
    threshold: On the map.
    chain: The preprocessing, with its findings and versions.
  """

  anomaly: np.ndarray
  lesion: np.ndarray
  outputs: dict[str, np.ndarray]
  affine: np.ndarray
  scorer: str
  threshold: float
  chain: list[dict[str, Any]]


class Run(NamedTuple):
  """A trained run, ready to be applied."""

  infer: Callable[[Mapping, jax.Array], dict[str, jax.Array]]
  steps: preprocess.Steps
  shape: tuple[int, ...]
  scorer: str
  thresholds: dict[str, float]
  postprocess: str
  folder: pathlib.Path


def read_json(path: pathlib.Path, what: str) -> dict:
  """The content of a file of a run folder, or one sentence."""
  if not path.is_file():
    raise FileNotFoundError(
      f'{path.parent} has no {path.name} ({what}); --checkpoint takes the --workdir of '
      'a finished uad_jax.main'
    )
  return json.loads(path.read_text())


def load(run: str | os.PathLike, scorer: str | None = None) -> Run:
  """Opens a run folder: newest checkpoint, preprocessing, default map, thresholds.

  Args:
    run: The workdir of a finished main job.
    scorer: Another map of the run than its default.
  """
  folder = pathlib.Path(run)
  config = ConfigDict(read_json(folder / 'config.json', 'the config'))
  model = read_json(folder / 'model.json', 'the shape and preprocessing')
  results = read_json(folder / 'results.json', 'the thresholds')
  scorer = scorer or results['default']
  if scorer not in results['scorers']:
    raise ValueError(
      f"run {folder} has no map '{scorer}'; there are {', '.join(results['scorers'])}"
    )
  shape = tuple(model['shape'])
  method = experiment.make_method(config, shape, model['channels'])
  score = experiment.make_scorers(config)[scorer]
  tx = experiment.make_optimisers(config, method)
  array = np.zeros((2, *shape, model['channels']), np.float32)
  batch = {
    'image': array,
    'mask': array[..., :1],
    'position': np.zeros(2, np.float32),
    'weight': np.ones(2, np.float32),
  }
  state = jax.jit(lambda key: init_state(method, tx, key, batch))(jax.random.key(0))
  found = checkpoint.restore(checkpoint.manager(folder / 'checkpoints'), state)
  if found is None:
    raise FileNotFoundError(f'{folder}/checkpoints holds no checkpoint to read')
  state = found[1]

  @jax.jit
  def infer(params, stats, batch, key):
    bound = bind(method, params, stats)
    outputs = bound(batch, key)
    shown = {name: outputs[name] for name in SHOWN if name in outputs}
    return {'anomaly': score(bound, batch, key), **shown}

  return Run(
    functools.partial(infer, state.params, state.stats),
    tuple((name, dict(options)) for name, options in model['steps']),
    shape,
    scorer,
    results['scorers'][scorer]['thresholds'],
    results['protocol']['postprocess'],
    folder,
  )


def batches(prepared: preprocess.Prepared, planar: bool):
  """(indices, batch) pairs of one size over the chosen slices, or the whole volume."""
  image, mask = prepared.image, prepared.mask.astype(np.float32)
  if not planar:
    batch = {'image': image[None], 'mask': mask[None]}
    batch['position'] = np.full(1, 0.5, np.float32)
    yield [0], batch | {'weight': np.ones(1, np.float32)}
    return
  chosen = list(prepared.slices)
  for start in range(0, len(chosen), BATCH):
    indices = chosen[start : start + BATCH]
    filled = (indices + [indices[-1]] * BATCH)[:BATCH]
    heights = [record.slice_height(k, image.shape[2]) for k in filled]
    yield (
      indices,
      {
        'image': np.stack([image[:, :, k] for k in filled]),
        'mask': np.stack([mask[:, :, k] for k in filled]),
        'position': np.array(heights, np.float32),
        'weight': (np.arange(BATCH) < len(indices)).astype(np.float32),
      },
    )


def maps_of(prepared: preprocess.Prepared, run: Run) -> dict[str, np.ndarray]:
  """The run's maps on the prepared grid, [X, Y, Z]; 0 in slices not chosen."""
  planar = len(run.shape) == 2
  maps = {}
  for number, (indices, batch) in enumerate(batches(prepared, planar)):
    key = jax.random.fold_in(jax.random.key(0), number)
    for name, value in jax.device_get(run.infer(batch, key)).items():
      volume = maps.setdefault(name, np.zeros(prepared.image.shape[:3], np.float32))
      if planar:
        volume[:, :, indices] = np.moveaxis(value[: len(indices), ..., 0], 0, -1)
      else:
        volume[:] = value[0, ..., 0]
  return maps


def predict(
  image: str | os.PathLike | nibabel.Nifti1Image,
  run: str | os.PathLike | Run,
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
  run = run if isinstance(run, Run) else load(run)
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
    outputs,
    prepared.native_affine,
    run.scorer,
    threshold,
    prepared.chain,
  )


def write(
  prediction: Prediction, scan: pathlib.Path, run: Run, folder, percent
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
  folder, bad = pathlib.Path(FLAGS.output), []
  shown = Progress(len(scans), 'predict')
  for done, scan in enumerate(scans):
    try:
      options = {'mask': FLAGS.mask or None, 'labels': FLAGS.labels or None}
      found = predict(scan, run, percent=FLAGS.percent, **options)
      write(found, scan, run, folder, FLAGS.percent)
    except nifti.BadScan as problem:
      if not FLAGS.keep_going:
        raise
      bad.append(str(problem))
    shown.update(done + 1, scan.name)
  shown.close()
  print(f'{len(scans) - len(bad)} of {len(scans)} scans predicted in {folder}')
  for problem in bad:
    print(f'left out: {problem}')
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
  command.run(main)
