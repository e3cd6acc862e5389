"""The tables of docs/results.md: every row trained, kept by its config, and rendered.

  python -m uad_jax.benchmark --suite=demo --seeds=0,1,2      trains what is missing
  python -m uad_jax.benchmark --render                        writes docs/results.md
  python -m uad_jax.benchmark --picture=demo      writes docs/figures/methods-demo.png

A row is a config with a seed; its run folder is named by the hash of both, so that
nothing is trained twice and a row that changed is trained anew. What tables and
pictures show of a run is kept in docs/runs, and they are made from there. Of runs, and
of what is kept, only those count that today's configs would make; others are named on
stderr. Runs on unequal data are never put in one table.
"""

import json
import pathlib
import sys
from typing import NamedTuple

from absl import flags
from ml_collections import ConfigDict

from uad_jax import base_config, cli, registry, run_folder
from uad_jax.comparison import (
  costs,
  kept_slices,
  records,
  results,
  showcase,
  side_by_side,
)
from uad_jax.comparison.finished_runs import read
from uad_jax.comparison.kept_slices import Exhibit
from uad_jax.comparison.records import Record
from uad_jax.report import atomic_files, datasets
from uad_jax.report.atomic_files import read_json

FLAGS = flags.FLAGS
ROWS = (
  'threshold', 'smoothing', 'atlas', 'ae', 'vae', 'cevae', 'gmvae', 'skip_ae',
  'scale_space_ae', 'denoising_ae', 'cae', 'aae', 'caae', 'fanogan', 'anovaegan',
  'vqvae_transformer', 'latent_diffusion', 'ddpm', 'cold_diffusion', 'dae', 'dae_unc',
)  # fmt: skip
"""In the order of the tables: those that learn no image first."""

SUITES = ('demo', 'slices', 'ixi', 'ixi128')
RUNS = 'runs/benchmark'
INDEX = 'row.json'
RECORDS = 'runs'
"""Beside the page: the folder of what `report.records` keeps."""

TIMINGS = 'benchmarks.json'
"""Beside the page: what `python -m benchmarks.table --json` stored."""


class Row(NamedTuple):
  """One run of a table."""

  suite: str
  name: str
  seed: int
  config: ConfigDict
  folder: pathlib.Path


def read_config(name: str, arg: str) -> ConfigDict:
  """The config of configs/NAME.py with an argument."""
  return base_config.read_config(pathlib.Path('configs') / f'{name}.py', arg)


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
  """Runs each row; those that are finished are skipped by `run_folder.run`."""
  for number, row in enumerate(rows):
    print(f'{number + 1}/{len(rows)}: {row.folder}', flush=True)
    run_folder.run(row.config, str(row.folder))
    told = {'suite': row.suite, 'name': row.name, 'seed': row.seed}
    (row.folder / INDEX).write_text(json.dumps(told))


def outdated(row: Row, folder: pathlib.Path) -> str | None:
  """Why a stored run is not what the command would make of the row; None if it is."""
  settings = registry.plain(row.config)
  for place in (folder, *(folder / 'variants' / name for name in row.config.variants)):
    why = run_folder.outdated(place, settings)
    if why:
      return why
  if folder.name != row.folder.name:
    return f'its folder would be {row.folder.name}'
  return None


def stored(runs: str, suite: str = '*') -> list[Row]:
  """The finished rows of today's configs, in the order of SUITES, ROWS and seeds.

  Args:
    runs: Where they are kept.
    suite: One of SUITES; all by default.

  """
  found = []
  for path in sorted(pathlib.Path(runs).glob(f'{suite}/*/{INDEX}')):
    told = json.loads(path.read_text())
    if told['suite'] not in SUITES or told['name'] not in ROWS:
      why = f"there is no row '{told['name']}' of '{told['suite']}'"
    else:
      (row,) = plan(told['suite'], [told['name']], [told['seed']], runs)
      why = outdated(row, path.parent)
    if why:
      print(f'left out: {path.parent}: {why}', file=sys.stderr)
    else:
      found.append(row)
  return sorted(
    found, key=lambda r: (SUITES.index(r.suite), ROWS.index(r.name), r.seed)
  )


def picture_of(suite: str, output: pathlib.Path) -> pathlib.Path:
  """Where the picture of a suite lies, beside the page."""
  return output.parent / 'figures' / f'methods-{suite}.png'


def show(suite: str, rows: list[Row], output: pathlib.Path) -> pathlib.Path:
  """Keeps slices of the rows, each with its lowest seed, and draws all that are kept.

  Raises:
    FileNotFoundError: There are none.
  """
  folder = output.parent / RECORDS / suite
  runs = {}
  for row in rows:
    runs.setdefault(row.name, (row.config, row.folder))
  for found in showcase.exhibits(runs):
    kept_slices.write(folder / f'{found.name}.npz', found)
  files = [folder / f'{name}.npz' for name in ROWS]
  found = [kept_slices.read(path) for path in files if path.exists()]
  found = [each for each in found if is_of_today(each, suite)]
  if not found:
    raise FileNotFoundError(f"no row of '{suite}' is of today's configs")
  titles = found[0].titles
  alike = [each for each in found if [*each.titles] == [*titles]]
  shown = {(e.name, f'{e.scorer}, seed {e.seeds[0]}'): e.cases for e in alike}
  path = picture_of(suite, output)
  path.parent.mkdir(parents=True, exist_ok=True)
  made = side_by_side.draw(shown, [*titles.values()])
  atomic_files.write_atomically(path, lambda file: file.write(made))
  return path


def is_of_today(record: Record | Exhibit, suite: str) -> bool:
  """Whether the config of a record is what its row has now."""
  if record.name not in ROWS:
    return False
  config = read_config(record.name, suite)
  config.seed = record.seeds[0]
  return record.config == registry.fingerprint(config)


def recorded(suite: str, rows: list[Row], folder: pathlib.Path) -> list[Record]:
  """The records of a suite, those of finished rows made anew, in the tables' order."""
  path = folder / f'{suite}.jsonl'
  stay = []
  for record in records.read(path):
    if is_of_today(record, suite):
      stay.append(record)
    else:
      print(
        f"left out: {path}: '{record.name}' is not of today's config", file=sys.stderr
      )
  fresh = records.of(
    [run for row in rows if row.suite == suite for run in read(row.folder)]
  )
  found = records.merge(stay, fresh)
  for record in fresh:
    if record not in found:
      told = f'{suite} {record.name}, seed {record.seeds[0]}'
      print(f'left out: {told} is in a mean of {path}', file=sys.stderr)
  return sorted(found, key=lambda r: (ROWS.index(r.name), r.seeds, r.variant))


def render(rows: list[Row], output: pathlib.Path) -> None:
  """Writes the records of the rows and the page."""
  timings = read_json(output.with_name(TIMINGS)) or None
  more = datasets.measured((*datasets.SPEED, costs.COST), output.parent)
  pictures = {
    suite: str(picture_of(suite, output).relative_to(output.parent))
    for suite in SUITES
    if picture_of(suite, output).exists()
  }
  folder = output.parent / RECORDS
  suites = {suite: recorded(suite, rows, folder) for suite in SUITES}
  text = results.page(suites, timings, more, pictures)
  for suite, found in suites.items():
    if found:
      records.write(folder / f'{suite}.jsonl', found)
  atomic_files.write_text(output, text)


def main(_: list[str]) -> None:
  """Trains a suite, or renders all that is stored, or draws what is stored."""
  output = pathlib.Path(FLAGS.output)
  if FLAGS.picture:
    print(show(FLAGS.picture, stored(FLAGS.runs, FLAGS.picture), output))
    return
  if not FLAGS.render:
    seeds = [int(seed) for seed in FLAGS.seeds]
    train(plan(FLAGS.suite, FLAGS.rows or list(ROWS), seeds, FLAGS.runs))
  render(stored(FLAGS.runs), output)
  print(output)


def define_flags() -> None:
  """The flags of the command."""
  flags.DEFINE_enum('suite', SUITES[0], SUITES, 'Data set of the rows.')
  flags.DEFINE_list('rows', [], f'Which of {", ".join(ROWS)}; all by default.')
  flags.DEFINE_list('seeds', ['0', '1', '2'], 'Seeds of the trainings.')
  flags.DEFINE_string('runs', RUNS, 'Where the runs are kept.')
  flags.DEFINE_string('output', 'docs/results.md', 'The page that is written.')
  flags.DEFINE_bool('render', False, 'Train nothing; write the page.')
  flags.DEFINE_enum(
    'picture', None, SUITES, 'Train nothing; draw all methods of this suite.'
  )


if __name__ == '__main__':
  define_flags()
  cli.run(main)
