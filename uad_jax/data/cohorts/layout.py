"""Which files of a folder are scans, and what belongs to each: patterns as data."""

import csv
import functools
import pathlib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from uad_jax.data.cohorts.splits import check_splits
from uad_jax.data.preprocessing.nifti import SUFFIXES, BadScan
from uad_jax.data.preprocessing.preprocess import DLMUSE

COMPANIONS = ('mask', 'labels', 'lesion', 'twin')
PEOPLE = ('sex', 'site', 'scanner', 'diagnosis')
"""Columns of a table that are kept as they are, in the details of a record."""

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
    subject: Regular expression on a path below the source; its groups, joined by '-',
      are the subject.
    session: The same for the session; '' where there are none.
    table: A table (tab-separated) with the column participant_id and, each optional,
      session_id, age, split, pathology, domain; '' for none.
    label_map: Class to numbers of the label file.
    channel: Which volume of a 4-D image is the scan; None for 3-D files.
    lesion_values: Numbers of the lesion file that are lesion; None: above half of its
      maximum.
    name: Regular expression, of either case, that an image's name has to match.
    several: 'first' takes the first of several images of a session; None refuses.
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
  channel: int | None = None
  lesion_values: Sequence[int] | None = None
  name: str | None = None
  several: str | None = None


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
  people: Mapping[str, str] = {}  # sex, site, scanner, diagnosis where they are known
  channel: int | None = None  # of a 4-D image
  lesion_values: Sequence[int] | None = None
  boxes: Sequence[tuple[int, ...]] = ()  # fastMRI+: slice, x, y, width, height


Rows = Mapping[tuple[str, str], Mapping[str, str]]
Who = Callable[[Entry], Mapping[str, str]]
"""What a table tells of a scan: age, split, pathology, domain and `PEOPLE`."""


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


def find(source: str, layout: Layout, who: Who | None = None) -> list[Entry]:
  """The scans of a folder in the order of subject and session.

  `who` tells what is known of a scan; by default the layout's table does.
  A scan that lacks a file of its own has `problem` set; what concerns the whole folder
  raises `BadScan`.
  """
  root = pathlib.Path(source)
  if not root.is_dir():
    raise BadScan(f'{source} is not a folder; allowed is one with NIfTI files')
  images = images_of(root, layout)
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
  if who is None:
    table = read_table(root / layout.table) if layout.table else {}
    who = functools.partial(row_of, table)
  return [
    _entry(source, layout, key, paths, companions, who)
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


def images_of(root: pathlib.Path, layout: Layout) -> dict[tuple[str, str], list[str]]:
  """(subject, session) to the paths of the images."""
  return _files(root, layout.image, layout, layout.name)


def _files(root, pattern, layout, name=None) -> dict[tuple[str, str], list[str]]:
  found = {}
  for path in sorted(root.glob(pattern)):
    relative = path.relative_to(root).as_posix()
    if not relative.endswith(SUFFIXES) or path.name.startswith('.'):
      continue  # a file of another kind, or a shadow such as ._BRATS_001.nii.gz
    if name and not re.search(name, path.name, re.IGNORECASE):
      continue
    subject = re.search(layout.subject, relative)
    if subject is None:
      raise BadScan(
        f"{path} names no subject by '{layout.subject}'; allowed are files that do"
      )
    session = re.search(layout.session, relative) if layout.session else None
    key = ('-'.join(filter(None, subject.groups())), session[1] if session else '')
    found.setdefault(key, []).append(str(path))
  return found


def row_of(table: Rows, entry: Entry) -> Mapping[str, str]:
  """What a table tells of a scan: the row of the session, or that of the subject."""
  key = (entry.subject, entry.session)
  return table.get(key) or table.get((entry.subject, '')) or {}


def _entry(source, layout, key, paths, companions, who: Who) -> Entry:
  entry = Entry(*key, image=paths[0])
  row = who(entry)
  entry = entry._replace(
    split=row.get('split') or '',
    age=_number(row.get('age')),
    pathology=row.get('pathology') or 'none',
    domain=row.get('domain') or '',
    people={name: str(row[name]) for name in PEOPLE if row.get(name)},
    channel=layout.channel,
    lesion_values=layout.lesion_values,
  )
  name = ' '.join(part for part in key if part)
  if len(paths) > 1 and layout.several != 'first':
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
