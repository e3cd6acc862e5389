"""Functions that read, write and check the JSON file (sidecar) of a prediction.

The sidecar NAME.json lists the files of a prediction, and the run and the scan that
they were made from. It serves to distinguish results from scans in one folder, and to
skip predictions that exist already.
"""

import hashlib
import importlib.metadata
import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from PIL import Image

from uad_jax.data.cohorts import scan_files
from uad_jax.data.preprocessing import nifti_size, picture
from uad_jax.evaluation.decisions import BARE
from uad_jax.prediction import file_stamps
from uad_jax.report.atomic_files import read_json, write_text
from uad_jax.trained_run import TrainedRun

OURS = 'marked_share_of_brain'
"""Key by which a sidecar of a prediction is known from other JSON files."""

ENDS = (
  *('anomaly.nii.gz', 'lesion.nii.gz', 'reconstruction.nii.gz', 'gate.nii.gz'),
  *('anomaly.tiff', 'lesion.png', 'reconstruction.tiff', 'gate.tiff'),
  'overlay.png',
)
"""Ends of the names of the files of a prediction, after NAME_."""

MARK = 'uad_jax.predict: result, not a scan'
"""Text in the files of a prediction by which they are known without their sidecar: in
the field 'descrip' of NIfTI headers, the tag ImageDescription of TIFF, and the text
`MARK_KEY` of PNG files."""

MARK_KEY, TIFF_DESCRIPTION = 'Description', 270

LESIONS = 'components'
"""Key of the list of lesion components, which is written one a line."""

FAILURE = 'later_failure'
"""Key of the reason why a later command, such as with another run or mask, could not
predict the scan anew; the prediction is then not listed as done."""


def read(path: pathlib.Path) -> dict[str, Any]:
  """Reads the sidecar of a prediction.

  Args:
    path: Path of the JSON file.

  Returns:
    Content of the file; {} if it is missing or not the sidecar of a prediction.
  """
  try:
    content = json.loads(path.read_bytes())
  except (OSError, ValueError):
    return {}
  return content if isinstance(content, dict) and OURS in content else {}


def render(content: Mapping[str, Any]) -> str:
  """Formats a sidecar as JSON, with one line for each lesion component."""
  text = json.dumps({**content, LESIONS: None}, indent=1, default=str)
  lines = ',\n  '.join(json.dumps(row) for row in content.get(LESIONS, ()))
  return text.replace(f'"{LESIONS}": null', f'"{LESIONS}": [\n  {lines}\n ]')


def remove(target: pathlib.Path) -> None:
  """Deletes the sidecar of a prediction and the files that it lists.

  Args:
    target: Path of the anomaly map without '_anomaly.nii.gz'.
  """
  described = target.with_name(f'{target.name}.json')
  content = read(described)
  if content:
    described.unlink()
    for name in content.get('files', ()):
      target.with_name(name).unlink(missing_ok=True)


def write_failure(target: pathlib.Path, problem: str) -> None:
  """Writes the entry `FAILURE` into the sidecar of a prediction, if there is one.

  Args:
    target: Path of the anomaly map without '_anomaly.nii.gz'.
    problem: Reason why the scan could not be predicted anew; '' removes the entry.
  """
  described = target.with_name(f'{target.name}.json')
  content = read(described)
  if content and content.pop(FAILURE, '') != problem:
    write_text(described, render(content | ({FAILURE: problem} if problem else {})))


def is_result(path: pathlib.Path) -> bool:
  """Returns whether a file belongs to a prediction, according to the sidecar beside it.

  Args:
    path: The file, such as maps/T1_anomaly.nii.gz.
  """
  stem, _, rest = path.name.rpartition('_')
  if not stem:
    return False
  content = read(path.with_name(f'{stem}.json'))
  if 'files' in content:
    return path.name in content['files']
  return bool(content) and rest in ENDS  # a sidecar of an older version


def is_marked(path: pathlib.Path) -> bool:
  """Returns whether a file has the mark of a prediction, as a copy without sidecar has.

  Files that cannot be read are not marked.
  """
  try:
    if picture.is_picture(path):
      if path.suffix.lower() == '.npy':
        return False
      with Image.open(path) as image:
        if image.format == 'TIFF':
          return image.tag_v2.get(TIFF_DESCRIPTION) == MARK
        return image.info.get(MARK_KEY) == MARK
    header = nifti_size.read_header(os.fspath(path))
    return bytes(header['descrip']).rstrip(b'\0') == MARK.encode()
  except (*nifti_size.UNREADABLE, SyntaxError, Image.DecompressionBombError):
    return False


def all_below(folder: pathlib.Path) -> dict[str, dict[str, Any]]:
  """Reads the sidecars of all predictions in a folder and its subfolders.

  Sidecars without an overlay image, or without the key 'made_from', are skipped.

  Returns:
    Content of each sidecar by its path below the folder, without '.json'.
  """
  if not folder.is_dir():
    return {}
  paths = scan_files.matches(folder, '**')
  names = {path.relative_to(folder).as_posix() for path in paths}
  stems = sorted(n.removesuffix('.json') for n in names if n.endswith('.json'))
  contents = {
    stem: read(folder / f'{stem}.json')
    for stem in stems
    if f'{stem}_overlay.png' in names
  }
  return {stem: content for stem, content in contents.items() if 'made_from' in content}


def fingerprint(run: TrainedRun, percent: str, alpha: float | None = None) -> str:
  """Returns a hash of everything, except scan and masks, that affects a prediction.

  It covers the trained parameters and statistics, the pre- and post-processing, the
  config, the anomaly map, threshold, decision and calibration, and the package version.

  Args:
    run: Trained run.
    percent: Key of the threshold in `run.thresholds`: the percentage of healthy voxels
      above it.
    alpha: Error rate of the decision, see `decision.Decision`.
  """
  results = json.loads((run.folder / 'results.json').read_bytes())
  settings = {
    'config': json.loads((run.folder / 'config.json').read_bytes()),
    'steps': run.steps,
    'slice_step': run.slice_step,
    'postprocess': results['protocol']['postprocess'],
    'map': run.scorer,
    'percent': percent,
    'alpha': alpha,
    'healthy_validation': results.get('healthy_validation'),
    'threshold': run.thresholds[percent],
    'calibration': read_json(run.folder / BARE),
    'version': importlib.metadata.version('uad_jax'),
  }
  return hash_of(run, settings)


def hash_of(run: TrainedRun, settings: Mapping[str, Any]) -> str:
  """Returns a hash of settings and of the parameters and statistics of a run.

  Args:
    run: Trained run.
    settings: Settings, which JSON can store.

  Returns:
    16 hexadecimal digits.
  """
  digest = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode())
  for leaf in jax.tree.leaves(jax.device_get((run.params, run.stats))):
    digest.update(np.ascontiguousarray(leaf).tobytes())
  return digest.hexdigest()[:16]


def is_current(
  content: Mapping[str, Any],
  folder: pathlib.Path,
  made_by: str,
  files: Mapping[str, pathlib.Path | None],
) -> bool:
  """Returns whether a stored prediction is complete and need not be made again.

  Its files must exist, and its run and input files must be the same as now.

  Args:
    content: Content of the sidecar; {} if there is none.
    folder: Folder of the sidecar.
    made_by: Hash of the run now, see `fingerprint`.
    files: Input files now, by kind ('scan', 'mask', 'labels'); None for no file.
  """
  source = content.get('made_from', {})
  return (
    source.get('run') == made_by
    and all(file_stamps.agrees(source.get(kind), path) for kind, path in files.items())
    and all((folder / name).is_file() for name in content['files'])
  )
