"""Functions that find the scans in a folder by file patterns (layouts)."""

import functools
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from uad_jax.data.cohorts.entry import COMPANIONS, PEOPLE, Entry
from uad_jax.data.cohorts.people import Lookup, read_table, row_of
from uad_jax.data.preprocessing.nifti import SUFFIXES, BadScan
from uad_jax.data.preprocessing.preprocess import DLMUSE

BIDS_SUBJECT = r'(?:^|/)(sub-[A-Za-z0-9]+)'
BIDS_SESSION = r'(?:^|/|_)(ses-[A-Za-z0-9]+)'
"""Regular expressions for the subject and the session in a BIDS path."""


class Layout(NamedTuple):
  """File patterns that find the scans, masks and labels below a source folder.

  Attributes:
    image: Glob pattern of the scans.
    mask: Glob pattern of the brain masks; '' if there are none.
    labels: Glob pattern of the anatomical labels; '' if there are none.
    lesion: Glob pattern of the lesion masks; '' if there are none.
    twin: Glob pattern of the lesion-free twins of the scans; '' if there are none.
    subject: Regular expression on a path below the source; its groups, joined by '-',
      are the name of the subject.
    session: Regular expression on this path; group 1 is the session. '' for cohorts
      without sessions.
    table: Tab-separated table with the column participant_id and, optionally,
      session_id, age, split, pathology, domain and `entry.PEOPLE`; '' for none.
    label_map: Tissue class to numbers of the label file.
    channel: Index of the volume of a 4-D image that is the scan; None for 3-D files.
    lesion_values: Numbers of the lesion file that mean lesion; None takes the voxels
      above half of its maximum.
    name: Regular expression, ignoring case, that the file name of an image must match.
    several: 'first' takes the first image of a session that has more than one; None
      makes such a session unusable, see `Entry.problem`.
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


def bids(
  image: str = 'sub-*/**/anat/*_T1w.nii*',
  mask: str = '',
  labels: str = '',
  lesion: str = '',
  twin: str = '',
  label_map: Mapping[str, Sequence[int]] = DLMUSE,
) -> Layout:
  """Returns the file patterns (layout) of a BIDS folder.

  Args:
    image: Glob pattern of the scans.
    mask: Glob pattern of the brain masks, usually in derivatives/; '' for none.
    labels: Glob pattern of the anatomical labels; '' for none.
    lesion: Glob pattern of the lesion masks; '' for none.
    twin: Glob pattern of the lesion-free twins; '' for none.
    label_map: Tissue class to numbers of the label file.
  """
  return Layout(image, mask, labels, lesion, twin, label_map=label_map)


def lesion_cohort(image: str = 'sub-*/**/anat/*_T1w.nii*') -> Layout:
  """Returns the file patterns (layout) of a folder of scans with inserted lesions.

  `python -m uad_jax.prepare lesions` writes such a folder.
  """
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
  """Returns the layout of a folder that has no sessions and no table of subjects.

  Args:
    image: Glob pattern of the scans.
    mask: Glob pattern of the brain masks; '' for none.
    labels: Glob pattern of the anatomical labels; '' for none.
    lesion: Glob pattern of the lesion masks; '' for none.
    twin: Glob pattern of the lesion-free twins; '' for none.
    subject: Regular expression whose group is the subject; by default the file name up
      to its first dot or underscore.
    label_map: Tissue class to numbers of the label file.
  """
  return Layout(image, mask, labels, lesion, twin, subject, '', '', label_map)


def find(source: str, layout: Layout, lookup: Lookup | None = None) -> list[Entry]:
  """Finds the scans of a folder and returns them sorted by subject and session.

  A scan with missing or ambiguous files is returned with a sentence in `problem`.

  Args:
    source: Path of the folder.
    layout: Patterns of the files.
    lookup: Function from a scan to its row of the table of subjects; None reads the
      table that the layout names.

  Raises:
    BadScan: The source is not a folder, or has no image that matches the layout.
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
  if lookup is None:
    table = read_table(root / layout.table) if layout.table else {}
    lookup = functools.partial(row_of, table)
  return [
    _entry(source, layout, key, paths, companions, lookup)
    for key, paths in sorted(images.items())
  ]


def images_of(root: pathlib.Path, layout: Layout) -> dict[tuple[str, str], list[str]]:
  """Finds the image files below a folder that match the patterns of a layout.

  Returns:
    Mapping from (subject, session) to the paths of its images.
  """
  return _files(root, layout.image, layout, layout.name)


def _files(root, pattern, layout, name=None) -> dict[tuple[str, str], list[str]]:
  """(subject, session) to the paths of the files that match a glob pattern."""
  paths = {}
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
    paths.setdefault(key, []).append(str(path))
  return paths


def _entry(source, layout, key, paths, companions, lookup: Lookup) -> Entry:
  """The entry of a (subject, session), with a problem if its files are not unique."""
  entry = Entry(*key, image=paths[0])
  row = lookup(entry)
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
  known_healthy = row.get('pathology') == 'none'
  for kind, files in companions.items():
    matches = files.get(key, [])
    if not matches and kind in ('lesion', 'twin') and known_healthy:
      continue
    if len(matches) != 1:
      return entry._replace(
        problem=f"{name} has {len(matches)} {kind} files by '{getattr(layout, kind)}' "
        f'in {source}; allowed is one for {paths[0]}'
      )
    entry = entry._replace(**{kind: matches[0]})
  if entry.lesion and not row.get('pathology'):
    entry = entry._replace(pathology='lesion')
  return entry


def _number(text: str | None) -> float:
  """A number; nan for None and for text that is none."""
  try:
    return float(text)
  except (TypeError, ValueError):
    return float('nan')
