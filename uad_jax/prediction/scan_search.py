"""Functions that read a scan's subject and session from its path and find its masks."""

import functools
import os
import pathlib
import re
from collections.abc import Sequence
from typing import NamedTuple

from uad_jax.data.cohorts import scan_files
from uad_jax.data.cohorts.layout import BIDS_SESSION, BIDS_SUBJECT
from uad_jax.data.preprocessing import nifti

GLOB = re.compile(r'(\*\*/|\*\*|\*|\?|\[[^\]]+\]|\{\w+\})')
"""Parts of a pattern that are not plain text."""

ENTITY = re.compile(r'([A-Za-z0-9]+)-([A-Za-z0-9]+)')


class Person(NamedTuple):
  """Subject, session and file name of a scan, by which its masks are looked up.

  Attributes:
    participant: BIDS subject in the path ('sub-01'). If there is none, the folder of
      the scan, or the file name without suffix for a scan in no subfolder.
    session: BIDS session in the path ('ses-1'); '' if there is none.
    id: Subject and session ('sub-01_ses-1', or 'sub-01' without a session). If the path
      has no BIDS subject, the file name without suffix.
    name: File name without suffix.
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
  return os.path.splitext(path[:-3] if path.lower().endswith('.gz') else path)[0]


def person_of(relative: str) -> Person:
  """Reads subject, session and file name of a scan from its path in the input folder.

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
  such as {id} matches its value, but not as a part of a longer word (P1 in P12).

  >>> bool(matcher('*/{id}*_mask.nii*', id='P1').fullmatch('m/P1_mask.nii.gz'))
  True
  >>> bool(matcher('*/{id}*_mask.nii*', id='P1').fullmatch('m/P12_mask.nii.gz'))
  False

  Args:
    pattern: Glob pattern.
    **names: Value of each placeholder, such as id='P1'.

  Raises:
    ValueError: The pattern has a placeholder that is not in `names`.
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
  """Returns whether the BIDS entities of a mask's path agree with those of a scan.

  An entity that only one of the two paths has is ignored, except 'space': a mask in
  space-MNI152... does not fit a scan without this entity. A scan without a BIDS subject
  fits every mask.

  Args:
    companion: Path of the mask.
    scan: Subject, session and file name of the scan.
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
  """Brain masks or label images of a folder, which a pattern assigns to the scans.

  Args:
    root: Folder to which the pattern is relative.
    pattern: Glob pattern; {id}, {participant}, {session} and {name} stand for the
      fields of `Person`.
    kind: Kind of file, for error messages: 'mask' or 'labels'.
  """

  def __init__(self, root: pathlib.Path, pattern: str, kind: str):
    """Lists the files below the part of the pattern that has no wildcard."""
    fixed, self._rest = fixed_folder(pattern)
    self._root, self._folder = root, root / fixed
    self._pattern, self._kind = pattern, kind
    matcher(self._rest, **dict.fromkeys(Person._fields, ''))
    self._files = []
    if self._folder.is_dir():
      paths = scan_files.scans(self._folder, '**')
      self._files = [path.relative_to(self._folder).as_posix() for path in paths]

  def of(self, scan: Person) -> list[pathlib.Path]:
    """Returns the paths of all masks or label images that belong to a scan.

    Args:
      scan: Subject, session and file name of the scan.
    """
    regex = matcher(self._rest, **scan._asdict())
    matches = [p for p in self._files if regex.fullmatch(p) and fits(p, scan)]
    return [self._folder / path for path in matches]

  def only(self, matches: Sequence[pathlib.Path], relative: str) -> pathlib.Path:
    """Returns the one mask or label image of a scan.

    Args:
      matches: The masks or label images of the scan, from `of`.
      relative: Path of the scan below the root.

    Raises:
      BadScan: No file or several files match, or the scan itself does.
    """
    if len(matches) != 1:
      names = [path.relative_to(self._folder).as_posix() for path in matches[:4]]
      listed = ', '.join(names) or f'below {self._folder}'
      raise nifti.BadScan(
        f"{relative} has {len(matches)} {self._kind} files by '{self._pattern}' "
        f'({listed}); allowed is one'
      )
    if os.path.abspath(matches[0]) == os.path.abspath(self._root / relative):
      raise nifti.BadScan(
        f"{relative} is its own {self._kind} by '{self._pattern}'; allowed is another "
        'file: name the scans by --pattern'
      )
    return matches[0]
