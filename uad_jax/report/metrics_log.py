"""Functions that log training metrics to metrics.jsonl and optionally to TensorBoard.

TensorBoard is used if TensorFlow is installed.
"""

import contextlib
import importlib.util
import json
import pathlib
from collections.abc import Callable, Iterator

Write = Callable[[int, dict[str, float]], None]
"""Function that writes an entry of the log: (step, metrics by name) -> None."""


def lines_before(path: pathlib.Path, step: int) -> list[str]:
  """Reads the lines of metrics.jsonl that were logged before a given training step.

  Incomplete lines are left out.

  Args:
    path: File of an earlier start of the run; it may be missing.
    step: First step that the resumed run logs.
  """
  kept = []
  for line in path.read_text().splitlines() if path.exists() else []:
    with contextlib.suppress(json.JSONDecodeError):  # a line cut by a kill
      if json.loads(line)['step'] < step:
        kept.append(line)
  return kept


def tensorboard(folder: pathlib.Path) -> Write | None:
  """Returns a function that writes training metrics to TensorBoard.

  If TensorFlow is not installed, None is returned.

  Args:
    folder: Run folder; the summaries are written to its subfolder `tensorboard`.
  """
  if importlib.util.find_spec('tensorflow') is None:
    return None
  from clu import metric_writers

  writer = metric_writers.SummaryWriter(str(folder / 'tensorboard'))

  def write(step, metrics):
    writer.write_scalars(step, metrics)
    writer.flush()

  return write


@contextlib.contextmanager
def metrics_log(folder: pathlib.Path) -> Iterator[Write]:
  """Opens the log of training metrics and yields a function that writes to it.

  A resumed run repeats the steps since its last checkpoint: before its first write, the
  lines from that step on are removed from metrics.jsonl.

  Args:
    folder: Run folder.
  """
  path, board, file = folder / 'metrics.jsonl', tensorboard(folder), None

  def write(step, metrics):
    nonlocal file
    if file is None:
      kept = lines_before(path, step)
      path.write_text(''.join(f'{line}\n' for line in kept))
      file = path.open('a')
    file.write(json.dumps({'step': step, **metrics}) + '\n')
    file.flush()
    if board:
      board(step, metrics)

  try:
    yield write
  finally:
    if file:
      file.close()
