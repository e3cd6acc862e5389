"""Functions that decide on the scans of `predict` by a stream, see `uad_jax.online`.

The scans are decided in the order of their paths, in the main process, on the prepared
grid. The results of a scan are written first and the state of the stream after them: a
command that is killed between the two decides on that scan again, with the same result.
"""

import contextlib
import functools
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from uad_jax.data import workers
from uad_jax.data.preprocessing.nifti import BadScan
from uad_jax.data.preprocessing.preprocess import Prepared
from uad_jax.online import state_file, stream
from uad_jax.online.state_file import Saved
from uad_jax.online.stream_settings import Settings
from uad_jax.online.stream_state import Scan, name_code
from uad_jax.prediction import calibration, online_start
from uad_jax.prediction.decision import BASE
from uad_jax.prediction.detection import detect
from uad_jax.prediction.feedback import Answer
from uad_jax.prediction.native_space import Prediction, voxel_ml
from uad_jax.prediction.online_maps import detection_of, facts_of, maps_of
from uad_jax.prediction.scan_prediction import examined, on_native_grid
from uad_jax.prediction.scan_preparation import Task, prepare
from uad_jax.trained_run import TrainedRun


class Session(NamedTuple):
  """Stream that a command continues.

  Attributes:
    model: Hash of the model and kind of the brain masks, see `online_start.model_of`.
    saved: State of the stream and its log, as they are in the state file.
    write: Function (content) that replaces the state file.
  """

  model: str
  saved: Saved
  write: Callable[[Saved], None]


def check_options(path: str, percent: str, alpha: float | None, answers: str) -> None:
  """Checks the options of the command that belong to a stream.

  Args:
    path: State file; '' for no stream.
    percent: Percentage of healthy voxels above the threshold; '' for none.
    alpha: Share of healthy scans with anything marked; None by default.
    answers: File with answers of readers; '' for none.

  Raises:
    ValueError: A stream is combined with another decision, or answers have no stream.
  """
  if path and (percent or alpha is not None):
    raise ValueError(
      '--online excludes --percent and --alpha: the stream decides, at an alpha of '
      f'{Settings().alpha:g} that answers of readers move; leave them out'
    )
  if answers and not path:
    raise ValueError('--feedback belongs to a stream; give --online=STATE as well')


@contextlib.contextmanager
def opened(
  path: str, run: TrainedRun, tasks: Sequence[Task], processes: int
) -> Iterator[Session | None]:
  """Context manager that holds a state file, and begins its stream if it is missing.

  Args:
    path: The state file; '' for no stream.
    run: Trained run.
    tasks: Scans of the command, which say whether brain masks come from files.
    processes: Number of processes that prepare the healthy scans of a new stream.

  Yields:
    The session; None for no stream.

  Raises:
    Busy: Another process holds the file.
    ValueError: The file is damaged or of another model, or the run has too few healthy
      validation scans.
  """
  if not path:
    yield None
    return
  masks = any(task.mask or task.labels for task in tasks)
  model = online_start.model_of(run, masks)
  with state_file.opened(pathlib.Path(path), model) as file:
    saved = file.read()
    if saved is None:
      maps = online_start.healthy_maps(run, masks, processes)
      saved = Saved(online_start.begin(maps, run.folder), [])
      file.write(saved)
    yield Session(model, saved, file.write)


def committed(session: Session) -> Session:
  """Writes the state of a session to the state file and returns the session."""
  session.write(session.saved)
  return session


def predict(
  prepared: Prepared,
  run: TrainedRun,
  task: Task,
  session: Session,
  refuse: bool = False,
) -> tuple[Prediction, Session]:
  """Predicts a preprocessed scan by the decision of a stream.

  Args:
    prepared: Scan that went through `run.steps`.
    run: Trained run.
    task: The scan; its participant is the subject of the stream.
    session: Session before the scan.
    refuse: Whether a scan outside of the training domain is an error.

  Returns:
    Filtered map and marked components on the native grid, and the session after the
    scan, for `committed` once the results are written.

  Raises:
    BadScan: The scan is refused, its grid differs from that of the healthy scans, or
      the anomaly map is not finite.
  """
  detection, facts = examined(prepared, run, BASE, refuse)
  scan = Scan(maps_of(prepared, detection), task.participant, task.stem)
  saved = session.saved
  try:
    after, decision, line = stream.observe(saved.stream, scan)
  except ValueError as error:
    raise BadScan(f'{task.scan} does not fit the stream: {error}') from error
  decided, p_values = detection_of(decision, detection, voxel_ml(prepared.affine))
  facts |= facts_of(saved.stream, decision, line)
  threshold = saved.stream.reference.threshold
  prediction = on_native_grid(decided, prepared, run, threshold, p_values, facts)
  return prediction, session._replace(saved=Saved(after, [*saved.log, line]))


def answer(
  session: Session, reply: Answer, task: Task | None, run: TrainedRun
) -> Session:
  """Takes the answer of a reader about an earlier scan, and writes the state.

  A healthy scan that was not learnt before is prepared again, to learn from it.

  Args:
    session: Session before the answer.
    reply: The answer.
    task: The scan, if its file is there as it was decided on; None moves the level
      alone.
    run: Trained run.

  Raises:
    ValueError: The scan has no open decision.
  """
  saved, scan = session.saved, None
  known = name_code(reply.identifier) in saved.stream.learnt
  if task is not None and reply.healthy and not known:
    outcome = workers.on_one_thread(functools.partial(prepare, steps=run.steps), task)
    if outcome.prepared is not None:
      threshold = calibration.thresholds(run, outcome.prepared.chain)[BASE]
      maps = maps_of(outcome.prepared, detect(outcome.prepared, run, threshold))
      scan = Scan(maps, task.participant, task.stem)
  after, line = stream.answer(saved.stream, reply.identifier, reply.healthy, scan)
  return committed(session._replace(saved=Saved(after, [*saved.log, line])))
