"""Functions that extend a copy of a healthy data set by scans with inserted lesions."""

import csv
import json
import pathlib
import shutil
from typing import Any

import nibabel as nib
import numpy as np

from uad_jax.data.cohorts import (
  layout,
  lesion_heads,
  lesion_mechanisms,
  lesion_plan,
  lesions,
  participants,
  splits,
)
from uad_jax.data.preprocessing.nifti import BadScan
from uad_jax.ops.choices import check_choice

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
  share: float = 1.0,
  mechanism: str = 'factor',
) -> dict[str, Any]:
  """Copies a BIDS folder of healthy scans and adds scans with inserted lesions.

  Each subject of the split gets a session with lesions of one kind (a third of the
  subjects each); its untouched scan is the lesion-free twin (the same scan without the
  lesions), and also stays in the split as a healthy scan. Each subject of the split
  'val' gets such a session too, with other lesion shapes; it is in the split
  'val_lesion', for model selection. The same seed gives the same folder. After an error
  no output is left.

  Args:
    source: BIDS folder of healthy scans. Without anatomical labels brain and tissue are
      estimated, see `lesion_heads.read_head`.
    masks: Folder of lesion masks (.nii.gz) in MNI space, two or more.
    output: Folder to write, which must not exist.
    files: Layout of the source.
    split: Split whose subjects get lesions.
    seed: Seed of the random numbers.
    share: Share of the subjects that get lesions, in (0, 1].
    mechanism: Change of the intensities, a name from `lesion_mechanisms.MECHANISMS`.

  Returns:
    Mapping from a split to 'subjects', the number of subjects with lesions, and
    'prevalence', the fraction of lesion voxels in the brain.

  Raises:
    BadScan: The output exists, a scan cannot be used, or the source lacks the split.
    ValueError: `share` or `mechanism` is not possible.
  """
  check_choice('mechanism', mechanism, lesion_mechanisms.MECHANISMS)
  if not 0 < share <= 1:
    raise ValueError(f'share is {share}; allowed are numbers above 0 and up to 1')
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
  shapes = lesion_plan.divide(masks, seed)
  partial = target.with_name(target.name + '.partial')
  shutil.rmtree(partial, ignore_errors=True)
  try:
    partial.mkdir(parents=True)
    report = _fill(
      partial, source, entries, shapes, files, split, seed, share, mechanism
    )
    partial.rename(target)
  except BaseException:
    shutil.rmtree(partial, ignore_errors=True)
    raise
  return report


def _fill(
  folder, source, entries, shapes, files, split, seed, share, mechanism
) -> dict[str, Any]:
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
    healthy = [e for e in entries if e.split == origin]
    for entry, kind, fraction in lesion_plan.plan(
      lesion_plan.part(healthy, seed, share), seed, name
    ):
      random = lesion_plan.generator(seed, name, entry.subject)
      image, mask, description = _insert(
        entry, pool, kind, fraction, random, files.label_map, mechanism
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


def _insert(
  entry, pool, kind, fraction, random, label_map, mechanism: str
) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
  """The scan with lesions, the lesion mask, and a description of the lesions."""
  head = lesion_heads.read_head(entry, label_map)
  lesion, parts = lesions.draw_masks(head, pool, fraction, random)
  image, strength = lesion_mechanisms.MECHANISMS[mechanism](head, lesion, kind, random)
  description = {'kind': kind, **strength, 'parts': parts}
  description['brain_voxels'] = int(head.brain.sum())
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
