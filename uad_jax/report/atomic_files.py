"""Functions that write files atomically and read JSON files that may not exist."""

import functools
import json
import os
import pathlib
import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import IO

from uad_jax.report import run_file_forms

REMEDY = 'put a sound copy in its place, or make the folder again'
"""Advice about a damaged JSON file."""


def named(error: OSError, path: pathlib.Path) -> OSError:
  """Adds the path of the file to an error that occurred while the file was written.

  Some errors of the operating system, such as that of a full disk, lack the path.

  Args:
    error: Error that the operating system reported.
    path: File that could not be written.

  Returns:
    A new error with the path; `error` itself if it has no error number.
  """
  if error.errno is None:
    return error
  return OSError(error.errno, error.strerror, str(path))


def write_together(
  writers: Mapping[pathlib.Path, Callable[[pathlib.Path], None]],
) -> None:
  """Writes several files that belong together; if one fails, no file is replaced.

  Each file is written to a hidden temporary file in its folder. When all are complete,
  they are renamed, in the order of `writers`.

  Args:
    writers: A function for each target file. It is called with the path of the
      temporary file, whose name ends like the target's, and writes the content there.

  Raises:
    OSError: A file cannot be written; the error names the target.
  """
  parts = {path: path.with_name(f'.{os.getpid()}.part.{path.name}') for path in writers}
  try:
    for path, part in parts.items():
      try:
        path.parent.mkdir(parents=True, exist_ok=True)
        writers[path](part)
      except OSError as error:
        raise named(error, path) from error
    for path, part in parts.items():
      os.replace(part, path)
  except BaseException:
    for part in parts.values():
      part.unlink(missing_ok=True)
    raise


def write_atomically(path: pathlib.Path, write: Callable[[IO[bytes]], None]) -> None:
  """Writes a file atomically: first a temporary file, which is renamed at the end.

  A reader never sees a half-written file; if writing fails, the old file stays.

  Args:
    path: Target file.
    write: Function that writes the content to an open binary file.

  Raises:
    OSError: The file cannot be written; the error names it.
  """
  handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f'.{path.name}.')
  try:
    with os.fdopen(handle, 'wb') as file:
      write(file)
    os.chmod(temporary, 0o644)
    os.replace(temporary, path)
  except OSError as error:
    os.unlink(temporary)
    raise named(error, path) from error
  except BaseException:
    os.unlink(temporary)
    raise


def write_text(path: pathlib.Path, content: str) -> None:
  """Writes text to a file atomically, as UTF-8."""
  write_atomically(path, lambda file: file.write(content.encode()))


def read_json(
  path: pathlib.Path, entries: Sequence[run_file_forms.Entry] = ()
) -> Mapping:
  """Reads a JSON object from a file; returns {} if the file does not exist.

  Args:
    path: The file; those of a run folder must have the entries of
      `run_file_forms.FORMS`.
    entries: Further entries that it must have.

  Raises:
    ValueError: The file holds something else, such as a part of an object, or an entry
      is missing or has another form.
  """
  if not path.exists():
    return {}
  content = _content(path)
  needed = (*run_file_forms.FORMS.get(path.name, ()), *entries)
  if fault := run_file_forms.fault(content, needed):
    raise ValueError(f'{path} is damaged: {fault}; {REMEDY}')
  return content


def _content(path: pathlib.Path) -> dict:
  """The JSON object in a file."""
  try:
    content = json.loads(path.read_bytes())
  except ValueError:  # also of text that is not UTF-8
    content = None
  if not isinstance(content, dict):
    raise ValueError(f'{path} is damaged: it holds no complete JSON object; {REMEDY}')
  return content


def read_json_once(path: pathlib.Path) -> Mapping:
  """Reads a JSON object from a file, and again only after the file has changed.

  {} stands for a missing file; entries are not checked. The result is shared between
  the calls and must not be changed.
  """
  return _read(path, os.stat(path).st_mtime_ns) if path.exists() else {}


@functools.lru_cache(8)
def _read(path: pathlib.Path, changed: int) -> Mapping:
  """Content of a JSON file at the time `changed` of its last change, in ns."""
  del changed
  return _content(path)
