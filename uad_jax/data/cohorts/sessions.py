"""Functions that group the files of a folder by subject and session."""

import os
import pathlib
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from uad_jax.data.cohorts import flat_names, scan_files
from uad_jax.data.cohorts.entry import Entry
from uad_jax.data.cohorts.people import PERSON, few, personal
from uad_jax.data.preprocessing.nifti import BadScan

if TYPE_CHECKING:
  from uad_jax.data.cohorts.layout import Layout

Files = dict[tuple[str, str], list[str]]
"""Mapping from (subject, session) to the paths of its files."""


class Images(NamedTuple):
  """Image files of a source folder, grouped by subject and session.

  Attributes:
    files: Mapping from (subject, session) to the paths of the images.
    names: Subject names derived from file names (`flat_names`); None if a regular
      expression of the layout names the subjects.
    notes: Messages for the user about the search.
  """

  files: Files
  names: flat_names.Names | None
  notes: list[str]


def images(root: pathlib.Path, layout: 'Layout') -> Images:
  """Finds the image files below a folder that match the patterns of a layout.

  A file that several symbolic links point to is listed once.

  Args:
    root: Path of the folder.
    layout: Patterns of file, subject and session names.

  Raises:
    BadScan: A pattern or regular expression cannot be used, or a path names no subject.
  """
  unreadable = []
  paths = scan_files.scans(root, layout.image, unreadable)
  if layout.name:
    named = compiled(layout.name, 'name', re.IGNORECASE)
    paths = [path for path in paths if named.search(path.name)]
  paths, repeated = scan_files.once(paths)
  notes = [f'left out as it may not be read: {name}' for name in unreadable]
  if repeated:
    pairs = [f'{path} is {kept}' for path, kept in repeated]
    notes.append(f'left out, as links to images that are read anyway: {few(pairs)}')
  relative = {path.relative_to(root).as_posix(): str(path) for path in paths}
  sessions = {name: _session(name, layout) for name in relative}
  if layout.subject == flat_names.SHORT:
    flat_names.check_twice(relative)
    names = flat_names.of_images(sessions, layout.image)
    notes += [names.note] if names.note else []
    subjects = names.subjects
  else:
    names, subjects = None, {name: _subject(name, layout, root) for name in relative}
  files = {}
  for name, path in relative.items():
    _check_text(subjects[name] + sessions[name], path)
    files.setdefault((subjects[name], sessions[name]), []).append(path)
  return Images(files, names, notes)


def by_file(root: pathlib.Path, files: Files) -> dict[str, tuple[str, str]]:
  """Returns the subject and the session of the images by the names of their files.

  The names are the path below the root, the file name, and the file name without its
  suffix (.nii, .nii.gz); the last two only where no other image has the same.

  Args:
    root: Path of the folder.
    files: Paths of the images by subject and session.
  """
  names = {}
  for key, paths in files.items():
    for path in map(pathlib.Path, paths):
      whole = path.relative_to(root).as_posix()
      for name in {whole, path.name, *map(flat_names.stem, (whole, path.name))}:
        names.setdefault(name, set()).add(key)
  return {name: next(iter(keys)) for name, keys in names.items() if len(keys) == 1}


def companions(
  root: pathlib.Path,
  pattern: str,
  layout: 'Layout',
  names: flat_names.Names | None = None,
) -> Files:
  """Finds the masks, labels or other files that belong to the images of a folder.

  Args:
    root: Path of the folder.
    pattern: Glob pattern of the files.
    layout: Regular expressions that read subject and session from a path.
    names: Subjects from `Images.names`, if subjects are named after the image files;
      None to read them by the regular expression.

  Returns:
    Paths of the files by subject and session.

  Raises:
    BadScan: The pattern or a regular expression cannot be used, or a path names no
      subject.
  """
  files = {}
  for path in scan_files.scans(root, pattern):
    name = path.relative_to(root).as_posix()
    subject = (
      flat_names.of_companion(name, pattern, names)
      if names
      else _subject(name, layout, root)
    )
    files.setdefault((subject, _session(name, layout)), []).append(str(path))
  return files


def entry(
  layout: 'Layout',
  key: tuple[str, str],
  paths: list[str],
  files: Mapping[str, Files],
  facts: Mapping[str, str],
) -> Entry:
  """Builds the `Entry` of one session from its image, companion files and table row.

  If images or companion files are missing or ambiguous, `Entry.problem` says so.

  Args:
    layout: Patterns of the files.
    key: Subject and session.
    paths: Paths of the images of the session, one or more.
    files: Mapping from a kind in `entry.COMPANIONS` (such as 'mask') to the files of
      this kind, from `companions`.
    facts: Row of the table of subjects, as a mapping from column to cell; {} for none.
  """
  scan = Entry(
    *key,
    image=paths[0],
    split=facts.get('split') or '',
    pathology=facts.get('pathology') or 'none',
    **personal(facts),
    channel=layout.channel,
    lesion_values=layout.lesion_values,
    person=facts.get(PERSON) or '',
  )
  name = ' '.join(part for part in key if part)
  if len(paths) > 1 and layout.several != 'first':
    return scan._replace(
      problem=f'{name} has {len(paths)} images ({few(paths)}); allowed is one: narrow '
      'the pattern of the images, or name subject and session by the regular '
      'expressions patterns.subject and patterns.session'
    )
  known_healthy = facts.get('pathology') == 'none'
  for kind, of_kind in files.items():
    matches = of_kind.get(key, [])
    if not matches and kind in ('lesion', 'twin') and known_healthy:
      continue
    if len(matches) != 1:
      return scan._replace(
        problem=f"{name} has {len(matches)} {kind} files by '{getattr(layout, kind)}'; "
        f'allowed is one for {paths[0]}'
      )
    scan = scan._replace(**{kind: matches[0]})
  for path in (scan.image, *(getattr(scan, kind) or scan.image for kind in files)):
    if os.path.islink(path) and not os.path.exists(path):
      return scan._replace(
        problem=f'{path} is a link to {os.path.realpath(path)}, which is absent; fetch '
        'that file or remove the link'
      )
  if scan.lesion and not facts.get('pathology'):
    scan = scan._replace(pathology='lesion')
  return scan


def _subject(name: str, layout: 'Layout', root: pathlib.Path) -> str:
  """The subject that a path below the root names."""
  match = compiled(layout.subject, 'subject').search(name)
  groups = (match.groups() or (match[0],)) if match else ()
  subject = '-'.join(filter(None, groups))
  if not subject:
    raise BadScan(
      f"{root / name} names no subject by '{layout.subject}'; allowed are files that do"
    )
  return subject


def _session(name: str, layout: 'Layout') -> str:
  """The session that a path below the root names; '' for none."""
  expression = compiled(layout.session, 'session') if layout.session else None
  match = expression.search(name) if expression else None
  return (match[1 if expression.groups else 0] or '') if match else ''


def compiled(text: str, what: str, flags: int = 0) -> re.Pattern:
  """Compiles a regular expression of a layout, or says that it is none.

  Args:
    text: The expression.
    what: Name of what it matches, for the error message, such as 'subject'.
    flags: Flags of `re.compile`.

  Raises:
    BadScan: The text is no regular expression.
  """
  try:
    return re.compile(text, flags)
  except (re.error, OverflowError, RecursionError) as error:
    raise BadScan(
      f"the pattern of the {what} is '{text}', which is no regular expression: "
      f"{error}; allowed is one such as '(P[0-9]+)_'"
    ) from error


def _check_text(name: str, path: str) -> None:
  """Refuses names of subjects and sessions that cannot be written as UTF-8."""
  try:
    name.encode()
  except UnicodeEncodeError as error:
    raise BadScan(
      f'{path!r} has a name that is no UTF-8 text; allowed are names in UTF-8'
    ) from error
