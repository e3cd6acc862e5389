"""Functions that preprocess the scans of a prediction and describe what goes wrong.

Worker processes import this module, so it needs no jax.
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
  """Scan that is to be predicted.

  Attributes:
    scan: File of the scan.
    name: Its path below the input.
    stem: Path of its results below the output, up to '_anomaly.nii.gz'.
    participant: Participant, for the tables.
    session: Session, '' if there is none.
    mask: Brain mask, or None.
    labels: Anatomy labels, or None.
    problem: Sentence why it cannot be predicted, such as a missing mask; '' for none.
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
    prepared: The preprocessed scan; None if it failed.
    problem: Sentence about the failure; '' for none.
    warnings: Warnings, one line each.
    stamps: Stamps of the scan, the mask and the labels, see `file_stamps.stamp`.
    seconds: Time that it took.
  """

  prepared: preprocess.Prepared | None
  problem: str
  warnings: list[str]
  stamps: dict[str, Any]
  seconds: float


@contextlib.contextmanager
def collected(sentences: list[str]) -> Iterator[None]:
  """Appends the warnings of a block to a list, one line each, instead of showing them.

  Args:
    sentences: List that grows; a sentence enters it once.
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
  """Describes the failure of one scan in a sentence that names its file.

  With the environment variable UAD_TRACEBACK set, the traceback is printed too.
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
  """Preprocesses one scan; whatever fails is described in the outcome.

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
  """Returns the entries of a sidecar that name the scan."""
  return {
    'participant': task.participant,
    'session': task.session,
    'scan': task.name,
  }
