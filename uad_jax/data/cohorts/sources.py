"""Functions that record the original files of a data set and detect later changes.

The file sources.json in the folder of a prepared data set lists each scan: its entries
in the table of subjects (such as age and split), and the size, modification time and
SHA-256 of its files. A file counts as unchanged if its size and modification time, or
else its SHA-256, equal those in sources.json.
"""

import contextlib
import hashlib
import json
import math
import os
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from uad_jax.data.cohorts.entry import COMPANIONS, Entry
from uad_jax.data.preprocessing import nifti_size, picture
from uad_jax.data.preprocessing.nifti import BadScan
from uad_jax.progress import progress

NAME = 'sources.json'
"""File name of the record, in the folder of its data set."""

FACTS = ('split', 'pathology', 'age', 'domain', 'people')
"""Keys of a scan that hold the facts of the table of subjects."""

READING = ('channel', 'lesion_values', 'boxes')
"""Keys of a scan that say how its files are read."""

SHOWN = 3
"""Number of names in a list for a sentence; those after it are counted only."""

Scan = Mapping[str, Any]
"""Recorded scan: subject, session, `FACTS`, `READING`, and 'files', a list of dicts
with kind, path below the source, size in bytes, mtime_ns and sha256."""

Known = Mapping[tuple[str, int, int], str]
"""SHA-256 of files that were read before, by path, size and mtime_ns."""


def files_of(path: str | None) -> list[str]:
  """Lists the files of an image: the file itself and the files that belong to it.

  The latter are the .hdr file of an Analyze image, and the JSON file that states the
  pixel size of a picture, if there is one.

  Args:
    path: Path of the image; None gives [].
  """
  if path is None:
    return []
  others = [nifti_size.header_path(path)]
  others += [picture.sidecar_of(path)] if picture.is_picture(path) else []
  return [path, *(p for p in others if p != path and os.path.isfile(p))]


def listing(entries: Iterable[Entry], source: str) -> list[dict[str, Any]]:
  """Lists scans with sizes and modification times of their files, without reading them.

  Args:
    entries: Scans with their splits, in order.
    source: Folder that the recorded paths are relative to.

  Returns:
    One `Scan` for each entry; its files have no 'sha256' yet.
  """

  def file(kind, path):
    size, time = _state(path)
    where = os.path.relpath(path, source)
    return {'kind': kind, 'path': where, 'size': size, 'mtime_ns': time}

  def scan(entry):
    facts = {name: getattr(entry, name) for name in ('subject', 'session', *FACTS)}
    facts |= {name: getattr(entry, name) for name in READING}
    if math.isnan(entry.age):
      facts['age'] = None  # nan is no JSON, and unequal to itself
    files = [
      file(kind, path)
      for kind in ('image', *COMPANIONS)
      for path in files_of(getattr(entry, kind))
    ]
    return json.loads(json.dumps(facts | {'files': files}, default=list))

  return [scan(entry) for entry in entries]


def hashed(scans: Sequence[Scan], source: str, known: Known) -> list[dict[str, Any]]:
  """Adds the SHA-256 of every file to the scans from `listing`.

  Args:
    scans: Scans from `listing`.
    source: Folder that the recorded paths are relative to.
    known: SHA-256 of files that need not be read again, from `known_in`.

  Returns:
    The scans, each file with 'sha256'; '' for a file that cannot be read.
  """
  names = [(f['path'], f['size'], f['mtime_ns']) for s in scans for f in s['files']]
  unknown = list(dict.fromkeys(name for name in names if name not in known))
  known = dict(known)
  for name in progress(unknown, 'reading files') if len(unknown) > 100 else unknown:
    known[name] = ''
    with (
      contextlib.suppress(OSError),
      open(os.path.join(source, name[0]), 'rb') as file,
    ):
      known[name] = hashlib.file_digest(file, 'sha256').hexdigest()

  def with_hash(file):
    return {**file, 'sha256': known[file['path'], file['size'], file['mtime_ns']]}

  return [{**scan, 'files': [with_hash(f) for f in scan['files']]} for scan in scans]


def known_in(records: Iterable[Sequence[Scan]]) -> dict[tuple[str, int, int], str]:
  """Collects the SHA-256 of all files in earlier records, as `known` of `hashed`."""
  return {
    (file['path'], file['size'], file['mtime_ns']): file['sha256']
    for scans in records
    for scan in scans
    for file in scan.get('files', ())
    if file['sha256']
  }


def content(scan: Scan) -> list[list[str]]:
  """Returns the kinds, file names and SHA-256 of the files of a recorded scan.

  The folders of the files are left out, so that a copy elsewhere counts as the same.
  """
  return [[f['kind'], os.path.basename(f['path']), f['sha256']] for f in scan['files']]


def digest(scans: Sequence[Scan]) -> str:
  """Computes one SHA-256 of a record, independent of folders and modification times."""
  listed = [
    [scan['subject'], scan['session'], content(scan)]
    + [scan[name] for name in (*FACTS, *READING)]
    for scan in scans
  ]
  return hashlib.sha256(json.dumps(listed, sort_keys=True).encode()).hexdigest()


def write(scans: Sequence[Scan], directory: str | os.PathLike) -> None:
  """Writes the record as `sources.json` into the folder of its data set."""
  path = pathlib.Path(directory) / NAME
  temporary = path.with_suffix('.partial')
  temporary.write_text(json.dumps({'scans': list(scans)}, indent=1) + '\n')
  os.replace(temporary, path)


def read(directory: str | os.PathLike) -> list[dict[str, Any]] | None:
  """Reads `sources.json` of a data set; None if it is missing or damaged."""
  try:
    return json.loads((pathlib.Path(directory) / NAME).read_text())['scans']
  except (OSError, json.JSONDecodeError, KeyError):
    return None


def check_unchanged(scans: Sequence[Scan], source: str) -> None:
  """Checks that all files still have their recorded sizes and modification times.

  Args:
    scans: Record that was made before the files were preprocessed.
    source: Folder that the recorded paths are relative to.

  Raises:
    BadScan: A file was changed or removed after the record was made.
  """
  for file in (file for scan in scans for file in scan['files']):
    path = os.path.join(source, file['path'])
    if _state(path) != (file['size'], file['mtime_ns']):
      raise BadScan(
        f'{path} was changed while the data set was prepared from it; give the same '
        'command again'
      )


def _state(path: str) -> tuple[int, int]:
  """Size and time of change of a file; -1 and 0 for one that cannot be reached."""
  try:
    state = os.stat(path)
  except OSError:
    return -1, 0
  return state.st_size, state.st_mtime_ns


def changes(old: Sequence[Scan], new: Sequence[Scan]) -> list[str]:
  """Describes how the scans of a source differ from those of an earlier record.

  Args:
    old: Earlier record; a scan without 'files' is compared by its other keys only.
    new: Record of the source as it is now.

  Returns:
    Phrases such as '2 subjects added (sub-07, sub-08)', '1 deleted (sub-02)' or 'split
    of sub-03 train -> test'; [] if nothing differs.
  """
  before, after = (
    {(s['subject'], s['session']): s for s in scans} for scans in (old, new)
  )
  phrases = _come_and_gone(before, after)
  both = [(before[key], after[key]) for key in after if key in before]
  replaced = [_name(b) for a, b in both if 'files' in a and content(a) != content(b)]
  if replaced:
    phrases.append(f'files of {_listed(replaced)} replaced')
  for fact in (*FACTS, *READING):
    differing = {
      f'{fact} of {b["subject"]} {_text(a[fact])} -> {_text(b[fact])}': None
      for a, b in both
      if fact in a and a[fact] != b[fact]
    }
    phrases += [*differing][:SHOWN]
    if len(differing) > SHOWN:
      phrases.append(f'{fact} of {len(differing) - SHOWN} more')
  return phrases


def _come_and_gone(before: Mapping, after: Mapping) -> list[str]:
  """Phrases on subjects, and on sessions of known subjects, that only one side has."""
  phrases = []
  sides = (('added', before, after), ('deleted', after, before))
  for verb, without, those in sides:
    known = {subject for subject, _ in without}
    keys = [key for key in those if key not in without]
    subjects = list(
      dict.fromkeys(subject for subject, _ in keys if subject not in known)
    )
    sessions = [
      f'{session} of {subject}' for subject, session in keys if subject in known
    ]
    for noun, names in (('subject', subjects), ('session', sessions)):
      if names:
        plural = 's' if len(names) > 1 else ''
        phrases.append(f'{len(names)} {noun}{plural} {verb} ({_listed(names)})')
  return phrases


def _listed(names: Sequence[str]) -> str:
  """The first `SHOWN` names, and '..' for more."""
  return ', '.join([*names[:SHOWN], *(['..'] if len(names) > SHOWN else [])])


def _name(scan: Scan) -> str:
  return ' '.join(filter(None, (scan['subject'], scan['session'])))


def _text(value: Any) -> str:
  return 'unknown' if value in (None, '') else str(value)
