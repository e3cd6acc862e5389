"""Measures where the processor seconds of a prediction or of an adaptation go.

  python -m benchmarks.seconds_by_part predict --checkpoint=RUN --input=SCANS
  python -m benchmarks.seconds_by_part adapt --checkpoint=RUN --input=SCANS \
    --config=adabn

Everything runs in this process, on one core where it is bound to one (`taskset -c 0`),
so that the seconds add up; the command itself prepares the next scans in worker
processes beside the inference. A part does not include the parts that it calls.
"""

import argparse
import collections
import contextlib
import functools
import pathlib
import tempfile
import time
from collections.abc import Callable, Iterator

from uad_jax import cli, prepared_data, resume, run_folder, trained_run
from uad_jax.data.preprocessing import steps
from uad_jax.few_shot import adapt as adaptation
from uad_jax.few_shot.adapted_config import read_adaptation
from uad_jax.prediction import batch, decision, file_stamps, plan, scan_prediction

IMPORTED = time.process_time()
"""Seconds of starting Python and of the imports."""


class Clock:
  """Stop watch of nested parts, in processor seconds of all threads.

  Attributes:
    laps: Seconds by part, one counter for each scan; the first is the start-up.
  """

  def __init__(self):
    """Starts in the part 'rest'."""
    self.laps = [collections.Counter()]
    self._parts, self._since = ['rest'], time.process_time()

  def _stop(self) -> None:
    now = time.process_time()
    self.laps[-1][self._parts[-1]] += now - self._since
    self._since = now

  @contextlib.contextmanager
  def part(self, name: str) -> Iterator[None]:
    """Context manager: seconds within it count for the part `name`."""
    self._stop()
    self._parts.append(name)
    try:
      yield
    finally:
      self._stop()
      self._parts.pop()

  def lap(self) -> None:
    """Begins a new scan."""
    self._stop()
    self.laps.append(collections.Counter())

  def timed(self, name: str, function: Callable, laps: bool = False) -> Callable:
    """Wraps a function so that its seconds count for the part `name`."""

    @functools.wraps(function)
    def measured(*args, **options):
      if laps:
        self.lap()
      with self.part(name):
        return function(*args, **options)

    return measured


def watch(clock: Clock, places: dict[str, tuple]) -> None:
  """Replaces functions by timed ones, and each step of the preprocessing.

  Args:
    clock: Stop watch.
    places: Module and name of the function, by the name of the part.
  """
  for name, (module, function) in places.items():
    setattr(module, function, clock.timed(name, getattr(module, function)))
  for name, step in steps.STEPS.items():
    steps.STEPS[name] = clock.timed(f'step {name}', step)


def predict(clock: Clock, options: argparse.Namespace, folder: pathlib.Path) -> None:
  """Predicts the scans one after another."""
  watch(
    clock,
    {
      'comparison with healthy scans': (scan_prediction.domain, 'check'),
      'inference': (scan_prediction, 'detect'),
      "back to the scan's space": (scan_prediction, 'to_native'),
      "outputs to the scan's space": (scan_prediction.preprocess, 'restore'),
      'table of components': (scan_prediction, 'lesion_components'),
      'picture, with reading': (batch, 'files_of'),
      'writing': (batch, 'write'),
      'hash of the files': (file_stamps, 'stamp'),
    },
  )
  batch.prepare = clock.timed('reading', batch.prepare, laps=True)
  with clock.part('opening the run'):
    run = trained_run.load(options.checkpoint)
  scans = plan.search(options.input, '', False)
  tasks = plan.plan(scans, folder, '', '')
  rule = decision.choose('', None)
  batch.Batch(run, folder, rule, False).predict(tasks, 1)


def adapt(clock: Clock, options: argparse.Namespace, folder: pathlib.Path) -> None:
  """Adapts the run to the scans and evaluates it on them."""
  watch(
    clock,
    {
      'opening the run': (adaptation, 'open_run'),
      'preparing the scans': (prepared_data, 'prepare'),
      'config of the adapted run': (adaptation, 'adapted_config'),
      'tracing the inference': (run_folder, 'checked_infer'),
      'initial state': (resume, 'fresh_state'),
      'adaptation': (run_folder, 'trained'),
      'evaluation': (run_folder, 'evaluate'),
      'report': (run_folder.page, 'write'),
    },
  )
  adaptation.adapt(
    options.checkpoint,
    read_adaptation(options.config),
    options.input,
    str(folder / 'run'),
    changes={'dir': str(folder / 'data')},
  )


def table(laps: list[collections.Counter]) -> str:
  """Formats the seconds by part: start-up, first scan, mean of the next ones."""
  first, rest = laps[1] if len(laps) > 1 else collections.Counter(), laps[2:]
  names = sorted({name for lap in laps for name in lap}, key=lambda n: -first[n])
  lines = ['| part | start-up | first scan | next scans |', '|---|---|---|---|']
  columns = []
  for name in names:
    later = sum(lap[name] for lap in rest) / max(len(rest), 1)
    columns.append((laps[0][name], first[name], later))
    lines.append(f'| {name} | ' + ' | '.join(f'{n:.2f}' for n in columns[-1]) + ' |')
  total = [sum(column) for column in zip(*columns, strict=True)]
  lines.append('| sum | ' + ' | '.join(f'{n:.2f}' for n in total) + ' |')
  return '\n'.join(lines)


def main() -> None:
  """Command line: does the work in a temporary folder and prints the table."""
  parser = argparse.ArgumentParser(prog='python -m benchmarks.seconds_by_part')
  parser.add_argument('what', choices=('predict', 'adapt'))
  parser.add_argument('--checkpoint', required=True, help='run folder')
  parser.add_argument('--input', required=True, help='folder of scans')
  parser.add_argument('--config', default='adabn', help='adaptation of configs/adapt')
  options = parser.parse_args()
  cli.prepare()
  clock = Clock()
  clock.laps[0]['imports'] = IMPORTED
  with tempfile.TemporaryDirectory() as folder:
    work = {'predict': predict, 'adapt': adapt}[options.what]
    work(clock, options, pathlib.Path(folder))
  clock.lap()
  print(table(clock.laps[:-1]))


if __name__ == '__main__':
  main()
