"""Files written whole or not at all, and JSON that may be absent."""

import json
import os
import pathlib
import tempfile
from collections.abc import Callable, Mapping
from typing import IO


def write_atomically(path: pathlib.Path, write: Callable[[IO[bytes]], None]) -> None:
  """Writes beside the path and renames, so that no half-written file is ever there."""
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
  """Writes the text atomically."""
  write_atomically(path, lambda file: file.write(content.encode()))


def read_json(path: pathlib.Path) -> Mapping:
  """The content of a JSON file; nothing where there is none."""
  return json.loads(path.read_text()) if path.exists() else {}
