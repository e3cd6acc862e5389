"""Where numbers of a training go: metrics.jsonl always, TensorBoard where it can be."""

import contextlib
import importlib.util
import json
import pathlib
from collections.abc import Callable, Iterator

Write = Callable[[int, dict[str, float]], None]


def lines_before(path: pathlib.Path, step: int) -> list[str]:
  """The whole lines of an earlier start that lie before `step`."""
  kept = []
  for line in path.read_text().splitlines() if path.exists() else []:
    with contextlib.suppress(json.JSONDecodeError):  # a line cut by a kill
      if json.loads(line)['step'] < step:
        kept.append(line)
  return kept


def tensorboard(folder: pathlib.Path) -> Write | None:
  """clu's writer, which needs TensorFlow; None where that is not installed."""
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
  """Yields write(step, metrics).

  A resumed run replaces what it does again: lines at or after its first step go.
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
