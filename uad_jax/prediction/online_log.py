"""Functions that read the log of a stream: scans decided on before, and notes."""

from collections.abc import Mapping, Sequence
from typing import Any

from uad_jax.data.preprocessing.nifti import BadScan
from uad_jax.online.guards import Log
from uad_jax.online.state_file import Saved
from uad_jax.online.stream_state import name_code
from uad_jax.prediction.scan_preparation import Task

LISTED = 5
"""Largest number of scans that a note names."""


def line_of(saved: Saved, identifier: str) -> Log | None:
  """Returns the line of the log about a scan; None if it has not been decided.

  Args:
    saved: State and log.
    identifier: Name of the scan: path of its results without '_anomaly.nii.gz'.
  """
  code = name_code(identifier)
  lines = (one for one in saved.log if one['kind'] == 'scan' and one['scan'] == code)
  return next(lines, None)


def is_of_stream(content: Mapping[str, Any], saved: Saved, identifier: str) -> bool:
  """Returns whether a stored result is that of the decision in the log.

  It is not if the command was killed before it could write the state.

  Args:
    content: Content of the sidecar; {} if there is none.
    saved: State and log.
    identifier: Name of the scan.
  """
  line, stored = line_of(saved, identifier), content.get('online', {})
  return line is not None and all(stored.get(key) == line[key] for key in line)


def once(tasks: Sequence[Task], saved: Saved, keep_going: bool) -> list[Task]:
  """Gives a problem to scans that the stream decided on before.

  Args:
    tasks: Scans without a current result.
    saved: State and log.
    keep_going: Whether such scans are skipped; otherwise they are an error.

  Returns:
    The scans, with a `problem` where there is a decision.

  Raises:
    BadScan: There is a decision on a scan, and `keep_going` is false.
  """
  checked = []
  for task in tasks:
    line = line_of(saved, task.stem)
    if line is not None and not task.problem:
      problem = (
        f'{task.scan} was decided at step {line["step"]} of the stream, and --output '
        'has no result of this file from that step; allowed is one decision for each '
        'name, with the --output of that command'
      )
      if not keep_going:
        raise BadScan(problem)
      task = task._replace(problem=problem)
    checked.append(task)
  return checked


def notes(saved: Saved, identifiers: Sequence[str]) -> list[str]:
  """Returns sentences about flagged scans, discoveries and drift.

  Args:
    saved: State and log.
    identifiers: Names of the scans of a command.
  """
  lines = {name: line_of(saved, name) for name in identifiers}
  decided = {name: line for name, line in lines.items() if line is not None}
  if not decided:
    return []
  flagged = named([name for name, line in decided.items() if line['flagged']])
  discovered = named([name for name, line in decided.items() if line['discovery']])
  rate = saved.stream.settings.discovery_rate
  sentences = [
    f'of {len(decided)} scans the stream flags {flagged}; discoveries, at a false '
    f'discovery rate of {rate:g}: {discovered}'
  ]
  drifted = [line['step'] for line in saved.log if line.get('drift')]
  if drifted:
    sentences.append(
      'the stream has drifted away from the healthy scans, first at step '
      f'{drifted[0]}: another scanner, contrast or preprocessing'
    )
  return sentences


def named(names: Sequence[str]) -> str:
  """Formats the number of scans and the names of the first ones.

  >>> named(['a', 'b']), named([])
  ('2 (a, b)', '0')
  """
  if not names:
    return '0'
  more = ' and others' if len(names) > LISTED else ''
  return f'{len(names)} ({", ".join(names[:LISTED])}{more})'
