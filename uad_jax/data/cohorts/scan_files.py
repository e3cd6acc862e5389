"""Functions that search a folder for scan files and follow symbolic links.

`pathlib.Path.glob` of Python 3.11 does not enter linked folders by `**`, leaves out
folders that may not be read, and returns the shadow files of macOS (`._x.nii.gz`).
"""

import fnmatch
import os
import pathlib
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from uad_jax.data.preprocessing.nifti import SUFFIXES, BadScan

REPEATS = 100_000
"""Largest number of times that links may lead to folders that were entered before."""

PARTS = 100
"""Largest number of parts of a glob pattern, such as the three of 'sub-*/**/*.nii'."""


class _Folder(NamedTuple):
  """Folder in a search.

  Attributes:
    path: Path of the folder, by which its files are named.
    real: Its path without links.
    passed: Real paths of the folders on the way to it.
    linked: Whether it is a linked folder or lies in one.
  """

  path: pathlib.Path
  real: str
  passed: tuple[str, ...] = ()
  linked: bool = False


class _Search:
  """State of one search: how often linked folders were entered, what was unreadable."""

  def __init__(self, root: pathlib.Path, pattern: str):
    self.name = f"{root}, searched for '{pattern}',"
    self.entered: set[str] = set()
    self.repeats = 0
    self.unreadable: list[str] = []

  def children(self, folder: _Folder) -> list[os.DirEntry]:
    """Entries of a folder by name; [] for a folder that may not be read."""
    try:
      with os.scandir(folder.path) as entries:
        return sorted(entries, key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
      return []  # removed during the search
    except OSError as error:
      self.unreadable.append(f'{folder.path} ({error.strerror})')
      return []

  def below(self, folder: _Folder) -> Iterator[_Folder]:
    """A folder and all folders in it at any depth, hidden ones excepted.

    Links that lie in real folders are entered, unless they lead to a folder that holds
    them; of the links in linked folders, those to folders not entered by such a link
    before. So the search ends soon, however the links are woven.
    """
    stack, nested = [folder], set()
    while stack:
      place = stack.pop()
      yield place
      for entry in self.children(place):
        inner = None if entry.name.startswith('.') else _enter(place, entry)
        if inner is None:
          continue
        if place.linked and entry.is_symlink():
          if inner.real in nested:
            continue
          nested.add(inner.real)
        self._count(inner)
        stack.append(inner)

  def _count(self, folder: _Folder) -> None:
    """Counts a folder that was reached by a link and entered before."""
    if folder.linked:
      self.repeats += folder.real in self.entered
      self.entered.add(folder.real)
    if self.repeats > REPEATS:
      raise BadScan(
        f'{self.name} has links that lead to the same folders more than {REPEATS} '
        'times; allowed are fewer: remove links between its folders'
      )


def matches(
  root: str | os.PathLike, pattern: str, unreadable: list[str] | None = None
) -> list[pathlib.Path]:
  """Finds the files below a folder that match a glob pattern, also in linked folders.

  A link to a folder that holds the link is not entered, so that the search ends. The
  wildcards `*`, `?` and `**` do not match names that begin with a dot, as in a shell.

  Args:
    root: Path of the folder.
    pattern: Glob pattern of paths below the folder, with `/` between its parts; the
      part `**` stands for any number of folders.
    unreadable: List to which the folders that may not be read are appended.

  Returns:
    Paths of all files, sorted; links to files that are absent are among them.

  Raises:
    BadScan: The pattern is empty, absolute, or has `**` beside other characters; or
      links lead to the same folders again and again.
  """
  root = pathlib.Path(root)
  parts = _parts(pattern)
  search = _Search(root, pattern)
  start = _Folder(root, os.path.realpath(root))
  paths = sorted(set(_select(search, start, parts)))
  if unreadable is not None:
    unreadable += [name for name in search.unreadable if name not in unreadable]
  return paths


def scans(
  root: str | os.PathLike,
  pattern: str,
  unreadable: list[str] | None = None,
  suffixes: tuple[str, ...] = SUFFIXES,
) -> list[pathlib.Path]:
  """Finds the NIfTI files below a folder that match a glob pattern, see `matches`.

  Shadow files and other files whose names begin with a dot are left out. Other
  `suffixes`, in lower case, find other kinds of files, such as pictures.
  """
  return [
    path
    for path in matches(root, pattern, unreadable)
    if path.name.lower().endswith(suffixes) and not path.name.startswith('.')
  ]


def once(
  paths: Iterable[pathlib.Path],
) -> tuple[list[pathlib.Path], list[tuple[pathlib.Path, pathlib.Path]]]:
  """Removes paths that lead, through links, to the same file as another path.

  Of the paths of one file, a path without links is kept if there is one, else the
  first in alphabetical order.

  Args:
    paths: Paths of files, some of which may be links or lie in linked folders.

  Returns:
    The kept paths in their order; pairs of a removed path and the kept path of the
    same file.
  """
  paths = list(paths)
  real = {path: os.path.realpath(path) for path in paths}
  kept = {}
  for path in sorted(paths, key=lambda p: (real[p] != os.path.abspath(p), p)):
    kept.setdefault(real[path], path)
  repeated = [(p, kept[real[p]]) for p in paths if kept[real[p]] != p]
  return [path for path in paths if kept[real[path]] == path], repeated


def fixed_part(pattern: str) -> str:
  """Returns the folders at the beginning of a glob pattern that have no wildcard.

  >>> fixed_part('derivatives/masks/*/*_mask.nii')
  'derivatives/masks'
  """
  parts = _parts(pattern)[:-1]
  fixed = []
  for part in parts:
    if _wild(part):
      break
    fixed.append(part)
  return '/'.join(fixed)


def _select(search: _Search, folder: _Folder, parts: list[str]) -> Iterator:
  """Paths of the files below a folder that match the parts of a pattern."""
  part, rest = parts[0], parts[1:]
  if part == '**':
    for place in search.below(folder):
      yield from _select(search, place, rest)
  elif _wild(part):
    match = re.compile(fnmatch.translate(part)).fullmatch
    for entry in search.children(folder):
      hidden = entry.name.startswith('.') and not part.startswith('.')
      if hidden or not match(entry.name):
        continue
      inner = _enter(folder, entry) if rest else None
      if not rest and not _is_folder(entry):
        yield folder.path / entry.name
      elif inner is not None:
        yield from _select(search, inner, rest)
  else:
    path = folder.path / part
    if not rest and os.path.lexists(path) and not os.path.isdir(path):
      yield path
    elif rest and os.path.isdir(path):
      passed = () if part == '..' else (*folder.passed, folder.real)
      inner = _Folder(path, os.path.realpath(path), passed, folder.linked)
      yield from _select(search, inner, rest)


def _parts(pattern: str) -> list[str]:
  """The parts of a glob pattern; a last `**` stands for all files."""
  parts = [part for part in pattern.split('/') if part not in ('', '.')]
  if not parts or pattern.startswith('/') or '\0' in pattern or len(parts) > PARTS:
    raise BadScan(
      f"'{pattern}' is no pattern of files; allowed is a path below the folder, such "
      "as 'sub-*/**/anat/*_T1w.nii*'"
    )
  for part in parts:
    if '**' in part and part != '**':
      raise BadScan(
        f"'{pattern}' has ** beside other characters; allowed is ** between slashes, "
        "as in '**/*_T1w.nii*'"
      )
  once_each = [p for p, before in zip(parts, ['', *parts], strict=False) if
               (p, before) != ('**', '**')]  # fmt: skip
  return [*once_each, '*'] if once_each[-1] == '**' else once_each


def _wild(part: str) -> bool:
  return any(character in part for character in '*?[')


def _enter(folder: _Folder, entry: os.DirEntry) -> _Folder | None:
  """The folder that is an entry; None for a file and for a link to what holds it."""
  if not _is_folder(entry):
    return None
  path, linked = folder.path / entry.name, entry.is_symlink()
  real = os.path.realpath(path) if linked else os.path.join(folder.real, entry.name)
  passed = (*folder.passed, folder.real)
  if linked and any(_inside(place, real) for place in passed):
    return None
  return _Folder(path, real, passed, folder.linked or linked)


def _is_folder(entry: os.DirEntry) -> bool:
  """Whether an entry is a folder or a link to one."""
  try:
    return entry.is_dir()
  except OSError:  # a link to itself
    return False


def _inside(place: str, folder: str) -> bool:
  """Whether a real path is a folder or lies in it."""
  return place == folder or place.startswith(folder.rstrip('/') + '/')
