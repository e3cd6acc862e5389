"""Functions that extend a copy of a healthy data set by scans with inserted lesions."""

import csv
import hashlib
import json
import pathlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import nibabel as nib
import numpy as np

from uad_jax.data.cohorts import layout, lesions, participants, scan_files, splits
from uad_jax.data.preprocessing import align, background, brainmask, grid, nifti
from uad_jax.data.preprocessing.nifti import BadScan

FRACTIONS = (0.005, 0.025)
"""Smallest and largest lesion volume of a subject, relative to the brain volume."""

SESSION = 'ses-lesion'
"""Name of the session that holds the scan with lesions."""

COLUMNS = ('participant_id', 'session_id', 'age', 'sex', 'split', 'pathology')


def write(
  source: str,
  masks: str,
  output: str,
  files: layout.Layout,
  split: str = 'test',
  seed: int = 0,
) -> dict[str, Any]:
  """Copies a BIDS folder of healthy scans and adds scans with inserted lesions.

  Each subject of the split gets a session with lesions of one kind (a third of the
  subjects each); its untouched scan is the lesion-free twin (the same scan without the
  lesions), and also stays in the split as a healthy scan. Each subject of the split
  'val' gets such a session too, with other lesion shapes; it is in the split
  'val_lesion', for model selection. The same seed gives the same folder. After an error
  no output is left.

  Args:
    source: BIDS folder of healthy scans with anatomical labels.
    masks: Folder of lesion masks (.nii.gz) in MNI space, two or more.
    output: Folder to write, which must not exist.
    files: Layout of the source.
    split: Split whose subjects get lesions.
    seed: Seed of the random numbers.

  Returns:
    Mapping from a split to 'subjects', the number of subjects with lesions, and
    'prevalence', the fraction of lesion voxels in the brain.

  Raises:
    BadScan: The output exists, a scan cannot be used, or the source lacks the split.
  """
  target = pathlib.Path(output)
  if target.exists():
    raise BadScan(f'{output} exists already; allowed is a folder to be made')
  entries = splits.assign(layout.find(source, files), {'train': 0.7, split: 0.3})
  broken = [entry.problem for entry in entries if entry.problem]
  if broken:
    raise BadScan(broken[0])
  if split not in {entry.split for entry in entries}:
    names = ', '.join(sorted({entry.split for entry in entries}))
    raise BadScan(f"{source} has no split '{split}'; allowed are {names}")
  shapes = divide(masks, seed)
  partial = target.with_name(target.name + '.partial')
  shutil.rmtree(partial, ignore_errors=True)
  try:
    partial.mkdir(parents=True)
    report = _fill(partial, source, entries, shapes, files, split, seed)
    partial.rename(target)
  except BaseException:
    shutil.rmtree(partial, ignore_errors=True)
    raise
  return report


def divide(masks: str, seed: int) -> tuple[list[str], list[str]]:
  """Divides lesion mask files at random between testing and validation.

  60 % of the files are for testing, 40 % for validation.

  Args:
    masks: Folder of the lesion masks (.nii.gz).
    seed: Seed of the random numbers.

  Returns:
    Paths for testing and paths for validation, each sorted.

  Raises:
    BadScan: The folder holds fewer than two files.
  """
  paths = [p for p in scan_files.scans(masks, '*') if p.name.endswith('.nii.gz')]
  if len(paths) < 2:
    raise BadScan(
      f'{masks} has {len(paths)} lesion masks; allowed are 2 .nii.gz or more'
    )
  order = np.random.default_rng(seed).permutation(len(paths))
  count = max(1, min(len(paths) - 1, round(0.6 * len(paths))))
  chosen = [str(paths[i]) for i in order]
  return sorted(chosen[:count]), sorted(chosen[count:])


def _fill(folder, source, entries, shapes, files, split, seed) -> dict[str, Any]:
  """Writes all scans and the table; returns the report of `write`."""
  _copy_notes(source, folder, seed)
  path = pathlib.Path(source) / files.table
  table = participants.read_table(path) if files.table else {}
  rows, voxels = [], {}

  def add_row(entry, session, name, pathology):
    row = participants.row_of(table, entry)
    known = [row.get(column) or 'n/a' for column in ('age', 'sex')]
    values = (entry.subject, session, *known, name, pathology)
    rows.append(dict(zip(COLUMNS, values, strict=True)))

  for entry in entries:
    _copy(entry, folder, entry.session)
    add_row(entry, entry.session, entry.split, 'none')
  for origin, name, pool in (
    (split, split, shapes[0]),
    ('val', 'val_lesion', shapes[1]),
  ):
    for entry, kind, fraction in _plan(
      [e for e in entries if e.split == origin], seed, name
    ):
      random = _random(seed, name, entry.subject)
      image, mask, description = _insert(
        entry, pool, kind, fraction, random, files.label_map
      )
      _write(entry, folder, SESSION, image, mask, description)
      add_row(entry, SESSION, name, kind)
      lesion, brain = voxels.get(name, (0, 0))
      voxels[name] = (lesion + int(mask.sum()), brain + description['brain_voxels'])
      print(f'{name}: {entry.subject} {kind}', flush=True)
  with (folder / 'participants.tsv').open('w', newline='') as file:
    writer = csv.DictWriter(file, COLUMNS, delimiter='\t', lineterminator='\n')
    writer.writeheader()
    writer.writerows(sorted(rows, key=lambda r: (r['participant_id'], r['session_id'])))
  return {
    name: {
      'subjects': sum(r['split'] == name and r['pathology'] != 'none' for r in rows),
      'prevalence': round(lesion / brain, 5),
    }
    for name, (lesion, brain) in voxels.items()
  }


def _plan(entries: Sequence, seed: int, name: str) -> Iterator[tuple[Any, str, float]]:
  """Yields each scan with a kind of lesion and a lesion load, dealt at random."""
  random = _random(seed, name)
  count = len(entries)
  kinds = random.permutation([lesions.KINDS[i % 3] for i in range(count)])
  loads = random.permutation(np.linspace(*FRACTIONS, count) if count > 1 else [0.008])
  yield from zip(entries, map(str, kinds), map(float, loads), strict=True)


def _random(seed: int, *names: str) -> np.random.Generator:
  """A random generator that depends on the seed and the names only."""
  digest = hashlib.sha256('/'.join(names).encode()).digest()
  return np.random.default_rng([seed, int.from_bytes(digest[:8])])


def _insert(
  entry, pool, kind, fraction, random, label_map: Mapping[str, Sequence[int]]
) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
  """The scan with lesions, the lesion mask, and a description of the lesions."""
  scan = nifti.read_image(entry.image)
  nifti.check_values(scan)
  background.need_zero(scan.data, scan.name)
  if entry.labels is None:
    raise BadScan(f'{entry.image} has no labels; allowed are scans with anatomy labels')
  labels = nifti.read_labels(entry.labels, scan)
  brain = brainmask.from_labels(labels, grid.spacing(scan.affine))
  tissue = (labels > 0) & ~np.isin(labels, label_map['ventricle'])
  to_scan, _ = align.register(scan.data, brain, scan.affine)
  head = lesions.Head(scan.data, brain, tissue, scan.affine, to_scan)
  lesion, parts = lesions.draw_masks(head, pool, fraction, random)
  image, strength = lesions.paint(head, lesion, kind, random)
  description = {'kind': kind, **strength, 'parts': parts}
  description['brain_voxels'] = int(brain.sum())
  return image.astype(np.float32), lesion, description


def _write(entry, folder, session, image, lesion, description) -> None:
  """Writes a session: the scan with lesions, its lesion mask and lesion-free twin."""
  _copy(entry, folder, session, image=False)
  stem = _stem(entry.subject, session)
  name = pathlib.Path(entry.image).name
  suffix = name.split('_')[-1]
  extension = suffix[suffix.index('.') :]
  place = _anat(folder, entry.subject, session) / f'{stem}_{suffix}'
  native = nib.load(entry.image)
  header, affine = native.header.copy(), native.affine
  header.set_data_dtype(np.float32)
  nib.save(nib.Nifti1Image(image, affine, header), place)

  twin = _anat(folder / 'derivatives/twin', entry.subject, session)
  shutil.copyfile(entry.image, twin / f'{stem}_desc-healthy_{suffix}')
  header.set_data_dtype(np.uint8)
  masks = _anat(folder / 'derivatives/lesions', entry.subject, session)
  file = masks / f'{stem}_label-lesion_mask{extension}'
  nib.save(nib.Nifti1Image(lesion.astype(np.uint8), affine, header), file)
  written = {k: v for k, v in description.items() if k != 'brain_voxels'}
  text = json.dumps(written, indent=1)
  (masks / f'{stem}_label-lesion_mask.json').write_text(text + '\n')


def _copy(entry, folder, session, image=True) -> None:
  """Copies a scan (with `image`), its labels and its brain mask into a session."""
  stem = _stem(entry.subject, session)
  places = {'labels': 'derivatives/labels', 'mask': 'derivatives/masks'}
  if image:
    places['image'] = '.'
  for kind, place in places.items():
    path = getattr(entry, kind)
    if path is not None:
      # The file name without its subject and session: the session may be another.
      parts = pathlib.Path(path).name.split('_')
      rest = [p for p in parts if not p.startswith(('sub-', 'ses-'))]
      target = _anat(folder / place, entry.subject, session) / '_'.join([stem, *rest])
      shutil.copyfile(path, target)


def _copy_notes(source, folder, seed) -> None:
  """Copies licences and descriptions, and notes the lesions in the description."""
  for path in sorted(pathlib.Path(source).iterdir()):
    if path.is_file() and path.suffix in ('.md', '.txt', '.csv', '.json', ''):
      shutil.copyfile(path, folder / path.name)
  file = folder / 'dataset_description.json'
  content = json.loads(file.read_text()) if file.exists() else {'BIDSVersion': '1.9.0'}
  content['Name'] = f'{content.get("Name", "healthy scans")}, with inserted lesions'
  content['GeneratedBy'] = [
    {'Name': 'uad_jax.prepare lesions', 'Description': f'seed {seed}'}
  ]
  file.write_text(json.dumps(content, indent=1) + '\n')


def _stem(subject: str, session: str) -> str:
  """First part of the file names of a session."""
  return f'{subject}_{session}' if session else subject


def _anat(folder: pathlib.Path, subject: str, session: str) -> pathlib.Path:
  """Makes the folder of a session's files and returns it."""
  place = folder / subject / session / 'anat'
  place.mkdir(parents=True, exist_ok=True)
  return place
