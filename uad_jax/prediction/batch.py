"""Class that predicts many scans and writes tables and a web page of the results.

Worker processes preprocess the next scans while the main process runs the network.
Scans with results from an earlier command are skipped.
"""

import contextlib
import functools
import pathlib
import signal
import sys
import time
from collections.abc import Sequence
from concurrent.futures.process import BrokenProcessPool
from typing import NamedTuple

from uad_jax import parallel
from uad_jax.data import workers
from uad_jax.data.preprocessing import nifti
from uad_jax.prediction import feedback, file_stamps, online, online_log, sidecar
from uad_jax.prediction.decision import Decision
from uad_jax.prediction.native_space import Prediction, files_of, write
from uad_jax.prediction.online import Session
from uad_jax.prediction.result_folder import ResultFolder
from uad_jax.prediction.result_tables import DONE, FAILED
from uad_jax.prediction.scan_prediction import predict_prepared
from uad_jax.prediction.scan_preparation import (
  Outcome,
  Task,
  collected,
  facts_of,
  prepare,
  problem_of,
)
from uad_jax.progress import Progress
from uad_jax.train import Interrupted
from uad_jax.trained_run import TrainedRun

MOST_WORKERS = 8
"""Largest default number of worker processes; a large head takes some GB in each."""


class Summary(NamedTuple):
  """Summary of the prediction of many scans: counts, failures and warnings.

  Attributes:
    predicted: Number of scans with results.
    earlier: Number of scans skipped because an earlier command predicted them.
    failed: Error messages, one for each scan that could not be predicted.
    warnings: Warnings about each scan, by scan name.
    notes: Sentences about the decision and the stream, each once.
  """

  predicted: int
  earlier: int
  failed: list[str]
  warnings: dict[str, list[str]]
  notes: list[str]


def default_workers() -> int:
  """Returns the number of usable cores, at most `MOST_WORKERS`."""
  return min(parallel.usable_cores(), MOST_WORKERS)


class Batch:
  """Predictor of many scans with one trained run, which fills one result folder.

  Args:
    run: Trained run.
    folder: Folder for the results.
    decision: Rule by which voxels are marked.
    keep_going: Whether to skip a scan that fails; otherwise it stops the prediction.
    refuse: Whether a scan outside of the training domain fails.
    session: Stream that decides instead of `decision`; None for none.
  """

  def __init__(
    self,
    run: TrainedRun,
    folder: pathlib.Path,
    decision: Decision,
    keep_going: bool,
    refuse: bool = False,
    session: Session | None = None,
  ):
    """Reads the results that the folder holds already."""
    self._run, self._folder, self._decision = run, folder, decision
    self._keep_going, self._refuse = keep_going, refuse
    self._session = session
    made_by = session.model if session else sidecar.fingerprint(run, *decision)
    self._made_by = made_by
    self._failed: list[str] = []
    self._results = ResultFolder(folder)

  def answer(self, answers: Sequence[feedback.Answer], tasks: Sequence[Task]) -> None:
    """Passes the answers of readers about earlier scans to the stream.

    Args:
      answers: The answers.
      tasks: Scans of the command; those with current results can be learnt from.

    Raises:
      ValueError: An answer is refused, see `feedback.unheard`; none is taken then.
    """
    if self._session is None or not answers:
      return
    by_name = {task.stem: task for task in tasks if self._is_current(task)}
    for reply in feedback.unheard(answers, self._session.saved):
      task = by_name.get(reply.identifier)
      self._session = online.answer(self._session, reply, task, self._run)

  def predict(self, tasks: Sequence[Task], processes: int) -> Summary:
    """Predicts scans and writes their results, the tables and the web page.

    Args:
      tasks: Scans to predict, with their masks and labels.
      processes: Number of preprocessing worker processes; below 2, the main process
        preprocesses.

    Raises:
      Interrupted: The user interrupted the work.
      BadScan: A scan cannot be predicted, and `keep_going` is false. If the stream has
        decided on it before, nothing is predicted.
      OSError: A result cannot be written.
      ChildProcessError: The system ended a worker process.
    """
    current, todo = [], []
    for task in tasks:
      (current if self._is_current(task) else todo).append(task)
    if self._session:
      todo = online_log.once(todo, self._session.saved, self._keep_going)
    for task in current:
      self._results.keep(task.stem, facts_of(task))
    for task in todo:
      self._results.drop(task.stem)
    shown = Progress(len(tasks), 'predict')
    shown.update(len(current))
    work = functools.partial(prepare, steps=self._run.steps)
    sound = [task for task in todo if not task.problem]
    try:
      outcomes = workers.mapped(work, sound, processes, main_module=False)
      with contextlib.closing(outcomes):
        for done, task in enumerate(todo, len(current) + 1):
          self._finish(task, None if task.problem else next(outcomes))
          shown.update(done, task.name)
    except KeyboardInterrupt:
      signal.signal(signal.SIGINT, signal.SIG_IGN)
      ready = self._results.predicted(task.stem for task in tasks)
      raise Interrupted(
        f'stopped; {ready} of {len(tasks)} scans are predicted, and the same command '
        'goes on with the others'
      ) from None
    except BrokenProcessPool as error:
      raise ChildProcessError(
        'the system ended a worker process, perhaps because memory ran out; fewer '
        '--workers need less'
      ) from error
    finally:
      if todo:
        shown.close()
      self._results.close(failing=sys.exc_info()[0] is not None)
    stems = [task.stem for task in tasks]
    return Summary(
      self._results.predicted(stems),
      len(current),
      self._failed,
      {task.name: self._results.warnings(task.stem) for task in tasks},
      self._results.notes(stems)
      + (online_log.notes(self._session.saved, stems) if self._session else []),
    )

  def _is_current(self, task: Task) -> bool:
    """Whether a scan was predicted before, from the same files by the same run."""
    if task.problem:
      return False
    files = {'scan': task.scan, 'mask': task.mask, 'labels': task.labels}
    target = self._folder / task.stem
    content = self._results.earlier.get(task.stem, {})
    if self._refuse and content.get('outside'):
      return False
    if self._session:
      saved = self._session.saved
      if not online_log.is_of_stream(content, saved, task.stem):
        return False
    return sidecar.is_current(content, target.parent, self._made_by, files)

  def _finish(self, task: Task, outcome: Outcome | None) -> None:
    """Infers a preprocessed scan and writes its results; or notes its failure."""
    problem = outcome.problem if outcome else task.problem
    if not problem:
      start, sentences = time.monotonic(), outcome.warnings
      try:
        with collected(sentences):
          prediction, session = self._decided(task, outcome)
          writers = files_of(prediction, task.scan)
      except Exception as error:
        problem = problem_of(task, error)
      else:
        facts = facts_of(task) | {
          'warnings': sentences,
          'seconds': round(outcome.seconds + time.monotonic() - start, 2),
          'made_from': {'run': self._made_by, **outcome.stamps},
        }
        target = self._folder / task.stem
        content = write(prediction, writers, self._run, target, facts)
        self._results.add(task.stem, content | {'status': DONE})
        self._session = session and online.committed(session)
        return
    self._failed.append(problem)
    earlier = self._results.earlier.get(task.stem, {}).get('made_from', {})
    if outcome and not file_stamps.agrees(earlier.get('scan'), task.scan):
      sidecar.remove(self._folder / task.stem)  # made from an earlier file of this name
    else:
      sidecar.write_failure(self._folder / task.stem, problem)
    if not self._keep_going:
      raise nifti.BadScan(problem)
    failure = facts_of(task) | {'warnings': [problem], 'status': FAILED}
    self._results.add(task.stem, failure)

  def _decided(self, task: Task, outcome: Outcome) -> tuple[Prediction, Session | None]:
    """Prediction of a scan, and the session after it, which is not yet on disk."""
    if self._session is None:
      options = (self._decision, self._refuse)
      return predict_prepared(outcome.prepared, self._run, *options), None
    return online.predict(
      outcome.prepared, self._run, task, self._session, self._refuse
    )
