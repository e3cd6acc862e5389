"""Functions that write files atomically and read JSON files that may not exist."""

import json
import os
import pathlib
import tempfile
from collections.abc import Callable, Mapping
from typing import IO


def write_atomically(path: pathlib.Path, write: Callable[[IO[bytes]], None]) -> None:
  """Writes a file atomically: first a temporary file, which is renamed at the end.

  A reader never sees a half-written file; if writing fails, the old file stays.

  Args:
    path: Target file.
    write: Function that writes the content to an open binary file.
  """
  handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f'.{path.name}.')
  try:
    with os.fdopen(handle, 'wb') as file:
      write(file)
    os.chmod(temporary, 0o644)
    os.replace(temporary, path)
  except BaseException:
    os.unlink(temporary)
    raise


def write_text(path: pathlib.Path, content: str) -> None:
  """Writes text to a file atomically, as UTF-8."""
  write_atomically(path, lambda file: file.write(content.encode()))


def read_json(path: pathlib.Path) -> Mapping:
  """Reads a JSON object from a file; returns {} if the file does not exist."""
  return json.loads(path.read_text()) if path.exists() else {}
