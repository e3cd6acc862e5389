"""Which files of a folder are scans, and what belongs to each: patterns as data."""

import csv
import hashlib
import pathlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from uad_jax.data.nifti import SUFFIXES, BadScan
from uad_jax.data.preprocess import DLMUSE

COMPANIONS = ('mask', 'labels', 'lesion', 'twin')

BIDS_SUBJECT = r'(?:^|/)(sub-[A-Za-z0-9]+)'
BIDS_SESSION = r'(?:^|/|_)(ses-[A-Za-z0-9]+)'


class Layout(NamedTuple):
  """Where the files lie, as glob patterns below the source folder.

  Attributes:
    image: Pattern of the scans.
    mask: Pattern of the brain masks; '' where there are none, so for those below.
    labels: Pattern of the anatomy labels.
    lesion: Pattern of the lesion masks.
    twin: Pattern of the scans without their lesions.
    subject: Regular expression on a path below the source; group 1 is the subject.
    session: The same for the session; '' where there are none.
    table: A table (tab-separated) with the column participant_id and, each optional,
      session_id, age, split, pathology, domain; '' for none.
    label_map: Class to numbers of the label file.
  """

  image: str
  mask: str = ''
  labels: str = ''
  lesion: str = ''
  twin: str = ''
  subject: str = BIDS_SUBJECT
  session: str = BIDS_SESSION
  table: str = 'participants.tsv'
  label_map: Mapping[str, Sequence[int]] = DLMUSE


class Entry(NamedTuple):
  """One scan of a folder, with its files and what the table says of it."""

  subject: str
  session: str
  image: str
  mask: str | None = None
  labels: str | None = None
  lesion: str | None = None
  twin: str | None = None
  split: str = ''
  age: float = float('nan')
  pathology: str = 'none'
  domain: str = ''
  problem: str = ''  # why it cannot be used, in a sentence


def bids(
  image: str = 'sub-*/**/anat/*_T1w.nii*',
  mask: str = '',
  labels: str = '',
  lesion: str = '',
  twin: str = '',
  label_map: Mapping[str, Sequence[int]] = DLMUSE,
) -> Layout:
  """A BIDS folder; masks and labels usually lie in derivatives/."""
  return Layout(image, mask, labels, lesion, twin, label_map=label_map)


def lesion_cohort(image: str = 'sub-*/**/anat/*_T1w.nii*') -> Layout:
  """A folder that `uad_jax.prepare lesions` wrote."""
  return bids(
    image,
    labels='derivatives/labels/sub-*/**/*_dseg.nii*',
    lesion='derivatives/lesions/sub-*/**/*_mask.nii*',
    twin='derivatives/twin/sub-*/**/*_desc-healthy_*.nii*',
  )


def flat(
  image: str = '*.nii*',
  mask: str = '',
  labels: str = '',
  lesion: str = '',
  twin: str = '',
  subject: str = r'([^/._]+)[^/]*$',
  label_map: Mapping[str, Sequence[int]] = DLMUSE,
) -> Layout:
  """Files by patterns; the subject is the name up to its first dot or underscore."""
  return Layout(image, mask, labels, lesion, twin, subject, '', '', label_map)


def find(source: str, layout: Layout) -> list[Entry]:
  """The scans of a folder in the order of subject and session.

  A scan that lacks a file of its own has `problem` set; what concerns the whole folder
  raises `BadScan`.
  """
  root = pathlib.Path(source)
  if not root.is_dir():
    raise BadScan(f'{source} is not a folder; allowed is one with NIfTI files')
  images = _files(root, layout.image, layout)
  if not images:
    raise BadScan(
      f"{source} has no image that matches '{layout.image}'; allowed is a "
      'folder with one or more'
    )
  companions = {
    kind: _files(root, getattr(layout, kind), layout)
    for kind in COMPANIONS
    if getattr(layout, kind)
  }
  table = read_table(root / layout.table) if layout.table else {}
  return [
    _entry(source, layout, key, paths, companions, table)
    for key, paths in sorted(images.items())
  ]


def read_table(path: pathlib.Path) -> dict[tuple[str, str], dict[str, str]]:
  """(subject, session) to row; a subject whose rows name two splits is refused."""
  if not path.is_file():
    return {}
  with path.open(newline='') as file:
    rows = list(csv.DictReader(file, delimiter='\t'))
  if rows and 'participant_id' not in rows[0]:
    raise BadScan(f"{path} lacks the column 'participant_id'; allowed is a BIDS table")
  check_splits(
    ((row['participant_id'], row['split']) for row in rows if row.get('split')),
    str(path),
  )
  return {(row['participant_id'], row.get('session_id') or ''): row for row in rows}


def check_splits(pairs: Iterable[tuple[str, str]], where: str) -> None:
  """Refuses a subject in two splits.

  Splits that agree up to the first underscore (val, val_lesion) are variants of the
  same subjects and may share them.
  """
  seen = {}
  for subject, split in pairs:
    before = seen.setdefault(subject, split)
    if before.split('_')[0] != split.split('_')[0]:
      raise BadScan(
        f"{where} has {subject} in the splits '{before}' and '{split}'; allowed is one "
        'split a subject'
      )


def assign(entries: Sequence[Entry], fractions: Mapping[str, float]) -> list[Entry]:
  """Entries with their splits: the table's, or by a hash of the subject.

  The hash depends on nothing else, so a subject keeps its split when others come or go.
  A table must name the split of each scan or of none.
  """
  named = [entry for entry in entries if entry.split]
  if named and len(named) < len(entries):
    without = next(entry for entry in entries if not entry.split)
    raise BadScan(
      f'{without.image} has no split in the table and others have; allowed is a '
      'split for each scan or for none'
    )
  if not named:
    entries = [e._replace(split=hashed_split(e.subject, fractions)) for e in entries]
  check_splits(((e.subject, e.split) for e in entries), 'the folder')
  return list(entries)


def hashed_split(subject: str, fractions: Mapping[str, float]) -> str:
  """The split in whose part of [0, 1) the subject's hash falls; fractions sum to 1."""
  at = int(hashlib.sha256(subject.encode()).hexdigest()[:12], 16) / 16**12
  total = sum(fractions.values())
  for split, fraction in fractions.items():
    at -= fraction / total
    if at < 0:
      return split
  return split


def _files(root, pattern, layout) -> dict[tuple[str, str], list[str]]:
  found = {}
  for path in sorted(root.glob(pattern)):
    relative = path.relative_to(root).as_posix()
    if not relative.endswith(SUFFIXES):
      continue
    subject = re.search(layout.subject, relative)
    if subject is None:
      raise BadScan(
        f"{path} names no subject by '{layout.subject}'; allowed are files that do"
      )
    session = re.search(layout.session, relative) if layout.session else None
    key = (subject[1], session[1] if session else '')
    found.setdefault(key, []).append(str(path))
  return found


def _entry(source, layout, key, paths, companions, table) -> Entry:
  row = table.get(key) or table.get((key[0], '')) or {}
  entry = Entry(
    *key,
    image=paths[0],
    split=row.get('split') or '',
    age=_number(row.get('age')),
    pathology=row.get('pathology') or 'none',
    domain=row.get('domain') or '',
  )
  name = ' '.join(part for part in key if part)
  if len(paths) > 1:
    problem = f'{name} has {len(paths)} images ({", ".join(paths)}); allowed is one'
    return entry._replace(problem=problem)
  told_healthy = row.get('pathology') == 'none'
  for kind, files in companions.items():
    mine = files.get(key, [])
    if not mine and kind in ('lesion', 'twin') and told_healthy:
      continue
    if len(mine) != 1:
      return entry._replace(
        problem=f"{name} has {len(mine)} {kind} files by '{getattr(layout, kind)}' in "
        f'{source}; allowed is one for {paths[0]}'
      )
    entry = entry._replace(**{kind: mine[0]})
  if entry.lesion and not row.get('pathology'):
    entry = entry._replace(pathology='lesion')
  return entry


def _number(text: str | None) -> float:
  try:
    return float(text)
  except (TypeError, ValueError):
    return float('nan')
