"""Functions that name the subjects of 2-D images, and check their splits."""

import functools
import hashlib
import pathlib
from collections.abc import Mapping, Sequence

from uad_jax.data.cohorts import participants
from uad_jax.data.cohorts.entry import Entry
from uad_jax.data.cohorts.people import personal
from uad_jax.data.cohorts.sessions import compiled
from uad_jax.data.preprocessing.nifti import BadScan

SPLITS = {
  'train': 'train',
  'training': 'train',
  'val': 'val',
  'valid': 'val',
  'validation': 'val',
  'test': 'test',
  'test_public': 'test',
}
"""Splits by their names in folders and tables, in lower case."""


def named(
  entries: Sequence[Entry], root: pathlib.Path, subject: str, table: str
) -> list[Entry]:
  """Sets the subject, age, domain and `people` of each image of a data set.

  The subject comes from the path of the image, the rest from the table of subjects.

  Args:
    entries: Images with splits; the subject of each is its path.
    root: Folder of the data set.
    subject: Regular expression on an image's path below the folder; its groups, joined
      by '-', are the name of the subject. '' takes the file name if the table lists it,
      else the subject that the entry has already.
    table: Path of the table of subjects below the folder; it may be absent.

  Raises:
    BadScan: The expression matches no subject, or the table names another split.
  """
  rows = participants.read_table(root / table) if table else {}
  lookup = functools.partial(participants.row_of, rows)
  pattern = compiled(subject, 'subject')

  def name(entry: Entry) -> Entry:
    path = pathlib.Path(entry.image)
    if subject:
      match = pattern.search(path.relative_to(root).as_posix())
      if match is None or not any(match.groups()):
        raise BadScan(
          f"{path} names no subject by '{subject}'; allowed is a regular expression "
          'with a group that matches each path'
        )
      entry = entry._replace(subject='-'.join(filter(None, match.groups())))
    elif lookup(by_file := entry._replace(subject=path.stem)):
      entry = by_file
    return _with_row(entry, lookup(entry), table)

  return [name(entry) for entry in entries]


def _with_row(entry: Entry, row: Mapping[str, str], table: str) -> Entry:
  """The entry with age, scanner and the like of its row in the table of subjects."""
  split = (row.get('split') or '').lower()
  if split and SPLITS.get(split, split) != entry.split.removesuffix('_lesion'):
    raise BadScan(
      f"{entry.image} lies in the folder of the split '{entry.split}', and {table} "
      f"names '{row['split']}'; allowed is one split a subject"
    )
  return entry._replace(**personal(row))


def sorted_by_subject(entries: Sequence[Entry]) -> list[Entry]:
  """Sorts images by subject; several images of one subject become its sessions.

  Raises:
    BadScan: The same picture is in two splits.
  """
  seen: dict[str, Entry] = {}
  for entry in entries:
    content = hashlib.sha256(pathlib.Path(entry.image).read_bytes()).hexdigest()
    first = seen.setdefault(content, entry)
    if first.split.split('_')[0] != entry.split.split('_')[0]:
      raise BadScan(
        f"{first.image} of the split '{first.split}' and {entry.image} of "
        f"'{entry.split}' are one picture; allowed is each picture in one split"
      )
  counts: dict[str, int] = {}
  for entry in entries:
    counts[entry.subject] = counts.get(entry.subject, 0) + 1
  result = [
    entry._replace(session=pathlib.Path(entry.image).stem)
    if counts[entry.subject] > 1
    else entry
    for entry in entries
  ]
  return sorted(result, key=lambda entry: (entry.subject, entry.session, entry.image))
