"""Functions that name, read and extend records of runs, one JSON object a line."""

import json
import pathlib
from collections.abc import Mapping
from typing import Any

from uad_jax.report.atomic_files import write_text

ROBUST = ('randomise', 'wrm')
"""Adaptations of the training that are part of the name of a run in the tables."""


def name_of(config: Mapping[str, Any]) -> str:
  """Returns the name of a run in the tables: its method, and how it was made robust.

  Args:
    config: Config of the run.

  Examples:
    >>> name_of({'method': {'name': 'vae'}, 'adapt': {'ema': {}, 'randomise': {}}})
    'vae, randomise'
  """
  robust = [name for name in ROBUST if name in config['adapt']]
  return ', '.join([config['method']['name'], *robust])


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
