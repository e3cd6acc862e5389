"""Functions that preprocess scans for prediction and report warnings and failures.

Worker processes import this module, so it does not import jax.
"""

import contextlib
import os
import pathlib
import time
import traceback
import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

from uad_jax.data.preprocessing import nifti, preprocess
from uad_jax.data.preprocessing.steps import Steps
from uad_jax.prediction import file_stamps

FOR_PROGRAMMERS = (
  DeprecationWarning,
  PendingDeprecationWarning,
  FutureWarning,
  ImportWarning,
  ResourceWarning,
)
"""Warnings that say nothing about a scan."""


class Task(NamedTuple):
  """One scan to predict, with its mask, its labels and the path of its results.

  Attributes:
    scan: File of the scan.
    name: Path of the scan relative to the input folder.
    stem: Start of the result paths, relative to the output folder, before
      '_anomaly.nii.gz'.
    participant: Name of the participant in the tables.
    session: Name of the session in the tables, '' if there is none.
    mask: File of the brain mask, or None.
    labels: File of the anatomy labels, or None.
    problem: Reason why the scan cannot be processed, such as a missing mask; '' for
      none.
  """

  scan: pathlib.Path
  name: str
  stem: str
  participant: str
  session: str
  mask: pathlib.Path | None = None
  labels: pathlib.Path | None = None
  problem: str = ''


class Outcome(NamedTuple):
  """Result of preprocessing one scan.

  Attributes:
    prepared: Preprocessed scan; None if preprocessing failed.
    problem: Reason for the failure; '' for none.
    warnings: Warnings about the scan, one line each.
    stamps: Stamps of the scan, the mask and the labels, see `file_stamps.stamp`.
    seconds: Duration of the preprocessing in seconds.
  """

  prepared: preprocess.Prepared | None
  problem: str
  warnings: list[str]
  stamps: dict[str, Any]
  seconds: float


@contextlib.contextmanager
def collected(sentences: list[str]) -> Iterator[None]:
  """Context manager that collects Python warnings in a list instead of printing them.

  Each warning is one line of text. Warnings that concern only programmers
  (`FOR_PROGRAMMERS`) are dropped.

  Args:
    sentences: List to which each new warning is appended, without duplicates.
  """
  with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter('always')
    try:
      yield
    finally:
      for warning in caught:
        sentence = ' '.join(str(warning.message).split())
        foreign = issubclass(warning.category, FOR_PROGRAMMERS)
        if not foreign and sentence not in sentences:
          sentences.append(sentence)


def problem_of(task: Task, error: Exception) -> str:
  """Formats an error as one sentence that names the scan in which it occurred.

  If the environment variable UAD_TRACEBACK is set, the traceback is printed as well.

  Args:
    task: The scan.
    error: Exception that its processing raised.
  """
  if os.environ.get('UAD_TRACEBACK'):
    traceback.print_exception(error)
  reason = ' '.join(str(error).split())
  if isinstance(error, nifti.BadScan):
    return reason if task.scan.name in reason else f'{task.scan}: {reason}'
  if isinstance(error, MemoryError):
    return f'{task.scan} needs more memory than there is; fewer --workers need less'
  return (
    f'{task.scan} cannot be processed, it may be no whole head '
    f'({type(error).__name__}: {reason[:200]})'
  )


def prepare(task: Task, steps: Steps) -> Outcome:
  """Preprocesses one scan and returns the result, or a description of the error.

  Exceptions are not raised; their description is the field `problem` of the result.

  Args:
    task: The scan.
    steps: Preprocessing steps of the run.
  """
  start, sentences = time.monotonic(), []
  prepared, problem, stamps = None, '', {}
  try:
    with collected(sentences):
      for kind in ('scan', 'mask', 'labels'):
        stamps[kind] = file_stamps.stamp(getattr(task, kind))
      prepared = preprocess.prepare_scan(
        task.scan, steps, mask=task.mask, labels=task.labels
      )
  except Exception as error:
    problem = problem_of(task, error)
  return Outcome(prepared, problem, sentences, stamps, time.monotonic() - start)


def facts_of(task: Task) -> dict[str, Any]:
  """Returns names and paths of a scan, for the JSON file of results.

  'scan' is the path below the input folder, 'input' the absolute path.
  """
  return {
    'participant': task.participant,
    'session': task.session,
    'scan': task.name,
    'input': os.path.abspath(task.scan),
  }
