"""The tables of docs/results.md: every row trained, kept by its config, and rendered.

  python -m uad_jax.benchmark --suite=demo --seeds=0,1,2      trains what is missing
  python -m uad_jax.benchmark --render                        writes docs/results.md

A row is a config with a seed; its run folder is named by the hash of both, so that
nothing is trained twice and a row that changed is trained anew. Tables come from stored
results only; runs on unequal data are never put in one table.
"""

import importlib.util
import json
import pathlib
from typing import NamedTuple

from absl import flags
from ml_collections import ConfigDict

from uad_jax import command, job, registry
from uad_jax.report import datasets, results

FLAGS = flags.FLAGS
ROWS = ('threshold', 'smoothing', 'atlas', 'ae', 'vae', 'dae', 'dae_unc')
SUITES = ('demo', 'slices', 'ixi', 'ixi128')
RUNS = 'runs/benchmark'
INDEX = 'row.json'
TIMINGS = 'benchmarks.json'
"""Beside the page: what `python -m tests.benchmarks.table --json` stored."""


class Row(NamedTuple):
  """One run of a table."""

  suite: str
  name: str
  seed: int
  config: ConfigDict
  folder: pathlib.Path


def read_config(name: str, arg: str) -> ConfigDict:
  """The config of configs/NAME.py with an argument."""
  path = pathlib.Path('configs') / f'{name}.py'
  spec = importlib.util.spec_from_file_location(f'config_{name}', path)
  if spec is None or not path.exists():
    raise FileNotFoundError(f'{path} does not exist; run this in the project folder')
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module.get_config(arg)


def plan(suite: str, names: list[str], seeds: list[int], runs: str) -> list[Row]:
  """The runs of a suite."""
  for name in names:
    if name not in ROWS:
      raise ValueError(f"unknown row '{name}'; there are {', '.join(ROWS)}")
  rows = []
  for seed in seeds:
    for name in names:
      config = read_config(name, suite)
      config.seed = seed
      folder = pathlib.Path(runs) / suite / f'{name}-{seed}-{registry.digest(config)}'
      rows.append(Row(suite, name, seed, config, folder))
  return rows


def train(rows: list[Row]) -> None:
  """Runs each row; those that are finished are skipped by `job.run`."""
  for number, row in enumerate(rows):
    print(f'{number + 1}/{len(rows)}: {row.folder}', flush=True)
    job.run(row.config, str(row.folder))
    told = {'suite': row.suite, 'name': row.name, 'seed': row.seed}
    (row.folder / INDEX).write_text(json.dumps(told))


def main(_: list[str]) -> None:
  """Trains a suite, or renders all that is stored."""
  if not FLAGS.render:
    seeds = [int(seed) for seed in FLAGS.seeds]
    train(plan(FLAGS.suite, FLAGS.rows or list(ROWS), seeds, FLAGS.runs))
  stored = sorted(pathlib.Path(FLAGS.runs).glob(f'*/*/{INDEX}'))
  if not stored:
    raise FileNotFoundError(f'{FLAGS.runs} holds no finished row')
  page = pathlib.Path(FLAGS.output)
  page.parent.mkdir(parents=True, exist_ok=True)
  timed = page.with_name(TIMINGS)
  timings = json.loads(timed.read_text()) if timed.exists() else None
  more = datasets.measured(datasets.SPEED, page.parent)
  page.write_text(results.page([path.parent for path in stored], timings, more))
  print(page)


def define_flags() -> None:
  """The flags of the command."""
  flags.DEFINE_enum('suite', SUITES[0], SUITES, 'Data set of the rows.')
  flags.DEFINE_list('rows', [], f'Which of {", ".join(ROWS)}; all by default.')
  flags.DEFINE_list('seeds', ['0', '1', '2'], 'Seeds of the trainings.')
  flags.DEFINE_string('runs', RUNS, 'Where the runs are kept.')
  flags.DEFINE_string('output', 'docs/results.md', 'The page that is written.')
  flags.DEFINE_bool('render', False, 'Train nothing; write the page.')


if __name__ == '__main__':
  define_flags()
  command.run(main)
