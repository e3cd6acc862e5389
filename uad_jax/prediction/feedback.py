"""Functions that read and check the answers of readers about scans of a stream."""

import csv
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

from uad_jax.online.state_file import Saved
from uad_jax.online.stream_state import name_code

COLUMNS = ('identifier', 'healthy')
"""Columns of the file of answers."""


class Answer(NamedTuple):
  """Answer of a reader.

  Attributes:
    identifier: Name of the scan: path of its results without '_anomaly.nii.gz'.
    healthy: Whether the reader called the scan healthy.
  """

  identifier: str
  healthy: bool


def read(path: str) -> list[Answer]:
  """Reads a CSV file with the columns `COLUMNS`; healthy is 0 or 1.

  Args:
    path: The file; '' for none.

  Raises:
    ValueError: A column is missing, a value is not allowed, or a scan is named twice.
    OSError: The file cannot be read.
  """
  if not path:
    return []
  with open(pathlib.Path(path), newline='', encoding='utf-8-sig') as file:
    table = csv.DictReader(file)
    rows, columns = list(table), table.fieldnames or ()
  if not {*COLUMNS} <= {*columns}:
    raise ValueError(
      f'{path} has the columns {", ".join(columns) or "none"}; needed are '
      f'{" and ".join(COLUMNS)}'
    )
  answers: dict[str, Answer] = {}
  for number, row in enumerate(rows, 2):
    name, healthy = (str(row[column] or '').strip() for column in COLUMNS)
    if healthy not in ('0', '1'):
      raise ValueError(
        f"{path}, line {number}: healthy is '{healthy}'; allowed are 0 and 1"
      )
    if name in answers:
      raise ValueError(
        f"{path}, line {number}: scan '{name}' is named twice; allowed is one answer"
      )
    answers[name] = Answer(name, healthy == '1')
  return list(answers.values())


def unheard(answers: Sequence[Answer], saved: Saved) -> list[Answer]:
  """Returns the answers that a stream has not taken yet.

  Args:
    answers: Answers of readers.
    saved: State of the stream and its log.

  Raises:
    ValueError: A scan has no open decision, or was answered otherwise before.
  """
  before = {one['scan']: one['healthy'] for one in saved.log if one['kind'] == 'answer'}
  fresh = []
  for reply in answers:
    code = name_code(reply.identifier)
    if before.get(code, reply.healthy) != reply.healthy:
      raise ValueError(
        f"--feedback: scan '{reply.identifier}' was answered with healthy = "
        f'{int(before[code])} before; allowed is one answer for each scan'
      )
    if code in before:
      continue
    if code not in saved.stream.level.pending:
      raise ValueError(
        f"--feedback: the stream has no open decision on scan '{reply.identifier}'; "
        'allowed are scans of earlier commands by the path of their results, such as '
        "'sub-01/anat/sub-01_T1w'"
      )
    fresh.append(reply)
  return fresh
