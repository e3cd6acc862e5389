"""Functions that list the scans to predict, with their masks and result paths.

Unusable inputs and outputs are reported here, before any scan is preprocessed.
"""

import itertools
import os
import pathlib
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from uad_jax.data.cohorts import image_layout, scan_files
from uad_jax.data.preprocessing import nifti, picture
from uad_jax.prediction import file_stamps, index_page, sidecar
from uad_jax.prediction.result_tables import LESIONS, SCANS, STABLE
from uad_jax.prediction.scan_preparation import Task
from uad_jax.prediction.scan_search import Companions, person_of, stem_of
from uad_jax.trained_run import require_json

DEFAULT_PATTERNS = ('sub-*/**/anat/*.nii*', '*.nii*')
"""Patterns of the scans below a folder: of BIDS, else those directly in it."""

PICTURE_PATTERNS = ('*', '**/*')
"""Patterns of the pictures below a folder: those directly in it, else in any folder but
those of masks (`image_layout.MASKS`)."""

TABLES = {
  'scans.csv': ','.join(SCANS[:STABLE]),
  'lesions.csv': ','.join(LESIONS[:STABLE]),
  'index.html': index_page.MARK,
}
"""Files beside the predictions, with text by which they are known as ours."""


class Search(NamedTuple):
  """Result of a search for scans in a file or folder.

  Attributes:
    root: Folder that `names` are relative to.
    names: Sorted paths of the scans, relative to `root`.
    results: Files that match the search, but are excluded because an earlier prediction
      wrote them.
    unreadable: Folders that were skipped because they cannot be read.
  """

  root: pathlib.Path
  names: list[str]
  results: list[pathlib.Path]
  unreadable: list[str]


def takes_pictures(run: str | os.PathLike) -> bool:
  """Returns whether a run was trained on 2-D images, such as PNG files.

  Args:
    run: Run folder, the workdir of uad_jax.main.

  Raises:
    FileNotFoundError: The folder has no model.json.
  """
  path = pathlib.Path(run) / 'model.json'
  card = require_json(path, 'the shape and preprocessing')
  return any(name == 'picture' for name, _ in card['steps'])


def search(source: str, pattern: str = '', pictures: bool = False) -> Search:
  """Searches for scans in a BIDS folder or a flat folder, or accepts a single file.

  Results of earlier predictions, hidden files and hidden folders are excluded; links to
  folders are followed.

  Args:
    source: File or folder.
    pattern: Glob pattern of the files below a folder; '' for all NIfTI files in the
      anat/ folders of a BIDS folder, or else for those directly in the folder.
    pictures: Whether the scans are 2-D images such as PNG files; if so, the pattern ''
      means `PICTURE_PATTERNS`.

  Raises:
    FileNotFoundError: The source is missing or contains no scan.
  """
  path = pathlib.Path(source)
  if not path.exists():
    raise FileNotFoundError(f'--input {source} does not exist')
  if path.is_file():
    if sidecar.is_result(path) or sidecar.is_marked(path):
      raise FileNotFoundError(f'--input {source} is a result of predict and not a scan')
    return Search(path.parent, [path.name], [], [])
  results, unreadable = [], []
  usual = PICTURE_PATTERNS if pictures else DEFAULT_PATTERNS
  suffixes = picture.SUFFIXES if pictures else nifti.SUFFIXES
  patterns = [pattern] if pattern else usual
  for glob in patterns:
    matches = scan_files.scans(path, glob, unreadable, suffixes)
    if pictures and not pattern:
      matches = [m for m in matches if not is_mask(m.relative_to(path))]
    results = [m for m in matches if sidecar.is_result(m) or sidecar.is_marked(m)]
    scans = [scan.relative_to(path).as_posix() for scan in matches]
    scans = sorted({*scans} - {r.relative_to(path).as_posix() for r in results})
    if scans:
      scans.sort(key=stem_of)
      return Search(path, scans, results, unreadable)
  besides = ' besides results of predict' if results else ''
  hint = '' if pattern else "; name others by --pattern, such as '*/T1.nii.gz'"
  raise FileNotFoundError(
    f'--input {source} holds no scans{besides}; it was searched for '
    f'{" and ".join(patterns)}{hint}'
  )


def is_mask(path: pathlib.Path) -> bool:
  """Returns whether a picture lies in a folder of masks, such as ground_truth."""
  return any(part.lower() in image_layout.MASKS for part in path.parts[:-1])


def plan(
  scans: Search,
  output: pathlib.Path,
  masks: str = '',
  labels: str = '',
) -> list[Task]:
  """Assigns masks and result paths to scans, and checks the result paths.

  The output has the same subfolders as the input. Masks and labels of other scans are
  left out. If a mask of a scan is missing or ambiguous, this is stored in the `problem`
  of its task.

  Args:
    scans: Scans, from `search`.
    output: Folder for the results.
    masks: Pattern of the brain masks, see `Companions`; '' for none.
    labels: Pattern of the anatomy labels; '' for none.

  Raises:
    ValueError: A result path is refused by `check_outputs`.
  """
  companions = {
    kind: Companions(scans.root, pattern, kind)
    for kind, pattern in (('mask', masks), ('labels', labels))
    if pattern
  }
  tasks, beside = [], set()
  for name in scans.names:
    person = person_of(name)
    matches = {kind: files.of(person) for kind, files in companions.items()}
    task = Task(
      scans.root / name, name, stem_of(name), person.participant, person.session
    )
    paths = {os.path.abspath(p) for p in itertools.chain(*matches.values())}
    beside |= paths - {os.path.abspath(task.scan)}
    try:
      files = {kind: companions[kind].only(matches[kind], name) for kind in companions}
      task = task._replace(**files)
    except nifti.BadScan as problem:
      task = task._replace(problem=str(problem))
    tasks.append(task)
  # If all files are masks of others, the problems say which the pattern matches.
  tasks = [t for t in tasks if os.path.abspath(t.scan) not in beside] or tasks
  check_outputs(tasks, output)
  return tasks


def check_outputs(tasks: Sequence[Task], output: pathlib.Path) -> None:
  """Checks that result paths are distinct, writable and replace only old results.

  Args:
    tasks: Planned scans.
    output: Folder for the results.

  Raises:
    ValueError: The output folder is not writable, two scans have the same result path,
      or a result would replace that of another scan or a file that predict did not
      write.
  """
  check_writable(output, {output, *((output / task.stem).parent for task in tasks)})
  by_stem: dict[str, Task] = {}
  for task in tasks:
    other = by_stem.setdefault(task.stem, task)
    if other is not task:
      raise ValueError(
        f'{other.scan} and {task.scan} would both be written to '
        f'{output / task.stem}_anomaly; allowed is one file of that name, or a '
        '--pattern that matches one of them'
      )
    target = output / task.stem
    described = target.with_name(f'{target.name}.json')
    content = sidecar.read(described)
    if described.exists() and not content:
      raise ValueError(foreign(described))
    check_input(task, content, target)
    for end in sidecar.ENDS:
      path = target.with_name(f'{target.name}_{end}')
      if path.exists() and not sidecar.is_result(path):
        raise ValueError(foreign(path))
  for name, mark in TABLES.items():
    path = output / name
    if path.exists() and mark not in path.read_text(errors='replace')[:1000]:
      raise ValueError(foreign(path))


def existing(path: pathlib.Path) -> pathlib.Path:
  """Returns a path, or its nearest parent that exists."""
  return next(p for p in (path, *path.absolute().parents) if p.exists())


def check_writable(output: pathlib.Path, folders: Iterable[pathlib.Path]) -> None:
  """Checks that files can be written in folders, which need not exist yet.

  Args:
    output: Folder for the results, for the message.
    folders: This folder and those below it for which there are results.

  Raises:
    ValueError: A folder, or the parent in which it is to be made, is not writable.
  """
  for place in sorted({existing(folder) for folder in folders}):
    try:
      with tempfile.TemporaryFile(dir=place):  # also shows a read-only file system
        pass
    except OSError as error:
      raise ValueError(
        f'--output {output} cannot be written in {place} ({error.strerror}); allowed '
        'is a folder that can'
      ) from error


def check_input(task: Task, content: Mapping[str, Any], target: pathlib.Path) -> None:
  """Checks that a result replaces only an earlier result of the same scan.

  Args:
    task: The scan.
    content: Content of the sidecar of the earlier result; {} for none.
    target: Path of the result without '_anomaly.nii.gz'.

  Raises:
    ValueError: The earlier result is of a file of the same name in another folder.
  """
  earlier, stamps = content.get('input'), content.get('made_from', {})
  if earlier and not file_stamps.is_same(task.scan, earlier, stamps.get('scan')):
    place = os.path.commonpath([earlier, os.path.abspath(task.scan)])
    raise ValueError(
      f'{target}_anomaly is the result of {earlier} and would be replaced by that of '
      f'{task.scan}; give another --output, or --input={place} with a --pattern for '
      'both'
    )


def foreign(path: pathlib.Path) -> str:
  """Returns the error message for a file that is no result and would be replaced."""
  return (
    f'{path} was not written by predict and would be replaced; choose another --output'
  )
