"""Functions that read and extend files of records, one JSON object a line."""

import json
import pathlib
from collections.abc import Mapping
from typing import Any

from uad_jax.report.atomic_files import write_text


def read(path: pathlib.Path) -> list[dict[str, Any]]:
  """Reads the records of a file; none if it is missing."""
  lines = path.read_text().splitlines() if path.is_file() else []
  return [json.loads(line) for line in lines if line.strip()]


def append(path: pathlib.Path, record: Mapping[str, Any]) -> None:
  """Adds a record to a file, which is replaced atomically.

  Args:
    path: The file; it and its folder are made if they are missing.
    record: The record.

  Raises:
    ValueError: A number of the record is not finite.
  """
  lines = [json.dumps(entry, allow_nan=False) for entry in (*read(path), record)]
  path.parent.mkdir(parents=True, exist_ok=True)
  write_text(path, '\n'.join(lines) + '\n')
