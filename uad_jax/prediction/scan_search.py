"""Functions that read a scan's names from its path, and find the masks of scans."""

import functools
import os
import pathlib
import re
from typing import NamedTuple

from uad_jax.data.cohorts import scan_files
from uad_jax.data.cohorts.layout import BIDS_SESSION, BIDS_SUBJECT
from uad_jax.data.preprocessing import nifti

GLOB = re.compile(r'(\*\*/|\*\*|\*|\?|\[[^\]]+\]|\{\w+\})')
"""Parts of a pattern that are not plain text."""

ENTITY = re.compile(r'([A-Za-z0-9]+)-([A-Za-z0-9]+)')


class Person(NamedTuple):
  """Names of a scan that select its masks.

  Attributes:
    participant: Subject in the path ('sub-01'), else the scan's folder or its own name.
    session: Session in the path ('ses-1'); '' if there is none.
    id: 'sub-01_ses-1' or 'sub-01' in BIDS, else the name of the file without suffix.
    name: Name of the file without suffix.
  """

  participant: str
  session: str
  id: str
  name: str


def stem_of(path: str) -> str:
  """Removes the suffix of an image file from its path.

  >>> stem_of('P1/T1.nii.gz'), stem_of('sub.01.nii')
  ('P1/T1', 'sub.01')
  """
  return os.path.splitext(path.removesuffix('.gz'))[0]


def person_of(relative: str) -> Person:
  """Reads the names of a scan from its path below the input folder.

  >>> person_of('sub-01/ses-a/anat/sub-01_ses-a_T1w.nii.gz').id
  'sub-01_ses-a'
  >>> person_of('P1/T1.nii.gz')
  Person(participant='P1', session='', id='T1', name='T1')
  """
  name = stem_of(relative.rpartition('/')[2])
  subject = re.search(BIDS_SUBJECT, relative)
  session = re.search(BIDS_SESSION, relative)
  if subject is None:
    return Person(relative.rpartition('/')[0] or name, '', name, name)
  parts = [subject[1], session[1] if session else '']
  return Person(*parts, '_'.join(filter(None, parts)), name)


@functools.lru_cache(64)
def matcher(pattern: str, **names: str) -> re.Pattern:
  """Converts a glob pattern to a regular expression on relative paths.

  `*` and `?` do not match '/', and `**/` matches any number of folders. A placeholder
  such as {id} matches its name, but not the beginning or end of a longer name.

  >>> bool(matcher('*/{id}*_mask.nii*', id='P1').fullmatch('m/P1_mask.nii.gz'))
  True
  >>> bool(matcher('*/{id}*_mask.nii*', id='P1').fullmatch('m/P12_mask.nii.gz'))
  False

  Args:
    pattern: Glob pattern.
    **names: Text of each placeholder.

  Raises:
    ValueError: The pattern has another placeholder.
  """
  rules = {'**/': '(?:[^/]+/)*', '**': '.*', '*': '[^/]*', '?': '[^/]'}
  regex = ''
  for part in GLOB.split(pattern):
    if part in rules:
      regex += rules[part]
    elif part.startswith('['):
      regex += part.replace('[!', '[^')
    elif part.startswith('{'):
      if part[1:-1] not in names:
        allowed = ', '.join(f'{{{name}}}' for name in names) or 'none'
        raise ValueError(
          f"the pattern '{pattern}' has the placeholder {part}; allowed: {allowed}"
        )
      regex += f'(?<![A-Za-z0-9]){re.escape(names[part[1:-1]])}(?![A-Za-z0-9])'
    else:
      regex += re.escape(part)
  return re.compile(regex, re.DOTALL)


def fixed_folder(pattern: str) -> tuple[str, str]:
  """Divides a pattern into its leading folders without wildcards and the rest.

  >>> fixed_folder('derivatives/**/{id}*_mask.nii.gz')
  ('derivatives', '**/{id}*_mask.nii.gz')
  """
  folders, rest = [], pattern.split('/')
  while len(rest) > 1 and not GLOB.search(rest[0]):
    folders.append(rest.pop(0))
  return '/'.join(folders) or ('/' if folders else ''), '/'.join(rest)


def entities(path: str) -> dict[str, str]:
  """Reads the BIDS entities (key-value pairs) of a file name, such as run-1."""
  return dict(ENTITY.findall(stem_of(path.rpartition('/')[2])))


def fits(companion: str, scan: Person) -> bool:
  """Whether the BIDS names of a mask agree with those of a scan.

  Names that only one of the two has are ignored, but a mask in a standard space
  (space-MNI152...) belongs to no scan that is not. Scans without BIDS names fit all.

  Args:
    companion: Path of the mask.
    scan: Names of the scan.
  """
  if not scan.participant.startswith('sub-'):
    return True
  theirs, ours = entities(companion), entities(scan.name)
  for key, pattern in (('sub', BIDS_SUBJECT), ('ses', BIDS_SESSION)):
    if named := re.search(pattern, companion):
      theirs[key] = named[1].partition('-')[2]
  ours['sub'] = scan.participant.partition('-')[2]
  if scan.session:
    ours['ses'] = scan.session.partition('-')[2]
  if theirs.get('space') != ours.get('space'):
    return False
  return all(ours.get(key, value) == value for key, value in theirs.items())


class Companions:
  """Files beside the scans, such as brain masks, that a pattern assigns to scans.

  Args:
    root: Folder that the pattern starts from.
    pattern: Glob pattern; {id}, {participant}, {session} and {name} stand for the
      fields of `Person`.
    kind: Kind of file, for messages: 'mask' or 'labels'.
  """

  def __init__(self, root: pathlib.Path, pattern: str, kind: str):
    """Lists the files below the part of the pattern that has no wildcard."""
    fixed, self._rest = fixed_folder(pattern)
    self._folder = root / fixed
    self._pattern, self._kind = pattern, kind
    matcher(self._rest, **dict.fromkeys(Person._fields, ''))
    self._files = []
    if self._folder.is_dir():
      paths = scan_files.scans(self._folder, '**')
      self._files = [path.relative_to(self._folder).as_posix() for path in paths]

  def of(self, scan: Person, relative: str) -> pathlib.Path:
    """Returns the one file that belongs to a scan.

    Args:
      scan: Names of the scan.
      relative: Path of the scan, for messages.

    Raises:
      BadScan: No file or several files match.
    """
    regex = matcher(self._rest, **scan._asdict())
    matches = [p for p in self._files if regex.fullmatch(p) and fits(p, scan)]
    if len(matches) != 1:
      listed = ', '.join(matches[:4]) or f'below {self._folder}'
      raise nifti.BadScan(
        f"{relative} has {len(matches)} {self._kind} files by '{self._pattern}' "
        f'({listed}); allowed is one'
      )
    return self._folder / matches[0]
