"""Command that trains the benchmark's methods and writes the tables of docs/results.md.

  python -m uad_jax.benchmark --suite=demo --seeds=0,1,2      trains what is missing
  python -m uad_jax.benchmark --render                        writes docs/results.md
  python -m uad_jax.benchmark --picture=demo      writes docs/figures/methods-demo.png

A table row is a config with a seed, see `comparison.benchmark_rows`. The numbers and
slices that docs/results.md shows are stored in docs/runs ("records"), and the page is
made from these files alone. Runs and records of a config that has changed since are
left out and named on stderr. Runs on unequal data never share a table.
"""

import json
import pathlib
import sys

from absl import flags

from uad_jax import cli, run_folder
from uad_jax import experiment as experiments
from uad_jax.comparison import (
  costs,
  kept_slices,
  patient_groups,
  records,
  results,
  showcase,
  side_by_side,
  stored_records,
)
from uad_jax.comparison.benchmark_rows import (
  INDEX,
  ROWS,
  SUITES,
  UNSIGNED,
  Row,
  is_current,
  plan,
  rows_of,
  stored,
  take_training,
)
from uad_jax.comparison.finished_runs import read
from uad_jax.comparison.records import Record
from uad_jax.evaluation.scans import collect
from uad_jax.report import atomic_files, datasets
from uad_jax.report.atomic_files import read_json

FLAGS = flags.FLAGS
RUNS = 'runs/benchmark'
"""Default folder that holds the run folders of the benchmark."""

RECORDS = 'runs'
"""Folder of the results (`comparison.stored_records`), beside docs/results.md."""

PATIENTS = 'patients.json'
"""File of the facts about the test subjects of a data set, see `facts_path`."""

TIMINGS = 'benchmarks.json'
"""File of the times that `python -m benchmarks.table --json` measures, beside
docs/results.md."""


def facts_path(suite: str, kept: pathlib.Path) -> pathlib.Path:
  """Returns the path of the facts about the test subjects of a suite.

  Suites that differ in the polarity alone share the data, and so the file.

  Args:
    suite: One of `SUITES`.
    kept: Folder of the stored results.
  """
  return kept / suite.removesuffix(UNSIGNED) / PATIENTS


def train(rows: list[Row], runs: str, kept: pathlib.Path) -> None:
  """Trains and evaluates the config of each table row.

  `run_folder.run` skips what is finished already. The facts about the test subjects by
  which tables group them are stored once for each state of the data.

  Args:
    rows: Rows to train.
    runs: Folder that holds the run folders.
    kept: Folder of the stored results.
  """
  for number, row in enumerate(rows):
    print(f'{number + 1}/{len(rows)}: {row.folder}', flush=True)
    take_training(row, runs)
    run_folder.run(row.config, str(row.folder))
    index = {'suite': row.suite, 'name': row.name, 'seed': row.seed}
    (row.folder / INDEX).write_text(json.dumps(index))
    results, path = read_json(row.folder / 'results.json'), facts_path(row.suite, kept)
    digest, enough = results['run']['manifest'], patient_groups.LEAST
    if results['data']['diseased'] >= enough and not patient_groups.read(path, digest):
      data = experiments.build(row.config, read_json(row.folder / 'model.json')['data'])
      scans = collect(experiments.batches(data, row.config.data.test))
      patient_groups.write(path, digest, patient_groups.describe(scans))


def picture_path(suite: str, output: pathlib.Path) -> pathlib.Path:
  """Returns the path of the figure that compares all methods on a data set (suite).

  Args:
    suite: Data set, one of `SUITES`.
    output: Path of docs/results.md; the figure lies in the folder `figures` beside it.
  """
  return output.parent / 'figures' / f'methods-{suite}.png'


def show(suite: str, rows: list[Row], output: pathlib.Path) -> pathlib.Path:
  """Draws the figure that compares all methods on the same slices of one data set.

  First the slices of each table row, from the run of its lowest seed, are stored beside
  docs/results.md. The figure is then drawn from the stored slices of all rows whose
  config has not changed since.

  Args:
    suite: Data set, one of `SUITES`.
    rows: Finished trainings on this data set, in the order of their seeds.
    output: Path of docs/results.md.

  Returns:
    Path of the figure.

  Raises:
    FileNotFoundError: No slices are stored for the present config of any row.
  """
  folder = output.parent / RECORDS / suite
  runs = {}
  for row in rows:
    runs.setdefault(row.name, (row.config, row.folder))
  for exhibit in showcase.exhibits(runs):
    kept_slices.write(folder / f'{exhibit.name}.npz', exhibit)
  files = [folder / f'{name}.npz' for name in ROWS]
  exhibits = [kept_slices.read(path) for path in files if path.exists()]
  exhibits = [exhibit for exhibit in exhibits if is_current(exhibit, suite)]
  if not exhibits:
    raise FileNotFoundError(f"no row of '{suite}' is of today's configs")
  titles = exhibits[0].titles
  cases = {
    (exhibit.name, f'{exhibit.scorer}\nseed {exhibit.seeds[0]}'): exhibit.cases
    for exhibit in exhibits
    if [*exhibit.titles] == [*titles]
  }
  path = picture_path(suite, output)
  path.parent.mkdir(parents=True, exist_ok=True)
  png = side_by_side.draw(cases, [*titles.values()])
  atomic_files.write_atomically(path, lambda file: file.write(png))
  return path


def recorded(suite: str, rows: list[Row], folder: pathlib.Path) -> list[Record]:
  """Merges the stored results of a data set with results of newly finished trainings.

  Args:
    suite: Data set, one of `SUITES`.
    rows: Finished trainings, of any suite.
    folder: Folder of the stored results.

  Returns:
    Results (records) in the order of the tables.
  """
  path = folder / f'{suite}.jsonl'
  kept = []
  for record in stored_records.read(path):
    if is_current(record, suite):
      kept.append(record)
    else:
      print(
        f"left out: {path}: '{record.name}' is not of today's config", file=sys.stderr
      )
  runs = [run for row in rows if row.suite == suite for run in read(row.folder)]
  digest = runs[0].summary['run']['manifest'] if runs else ''
  facts = patient_groups.read(facts_path(suite, folder), digest)
  fresh = records.from_runs(runs, facts)
  merged = stored_records.merge(kept, fresh)
  for record in fresh:
    if record not in merged:
      run = f'{suite} {record.name}, seed {record.seeds[0]}'
      print(f'left out: {run} is in a mean of {path}', file=sys.stderr)
  return sorted(merged, key=lambda r: (ROWS.index(r.name), r.seeds, r.variant))


def render(rows: list[Row], output: pathlib.Path) -> None:
  """Writes docs/results.md from the stored results and from finished trainings.

  The stored results in docs/runs are brought up to date as well.

  Args:
    rows: Finished trainings, of any suite.
    output: Path of docs/results.md.
  """
  timings = read_json(output.with_name(TIMINGS)) or None
  more = datasets.measured((*datasets.SPEED, costs.COST), output.parent)
  pictures = {
    suite: str(picture_path(suite, output).relative_to(output.parent))
    for suite in SUITES
    if picture_path(suite, output).exists()
  }
  folder = output.parent / RECORDS
  suites = {suite: recorded(suite, rows, folder) for suite in SUITES}
  text = results.page(suites, timings, more, pictures)
  for suite, kept in suites.items():
    if kept:
      stored_records.write(folder / f'{suite}.jsonl', kept)
  atomic_files.write_text(output, text)


def main(_: list[str]) -> None:
  """Trains the methods on one data set and writes docs/results.md.

  With `--render` only docs/results.md is written, with `--picture` only a figure.
  """
  output = pathlib.Path(FLAGS.output)
  if FLAGS.picture:
    print(show(FLAGS.picture, stored(FLAGS.runs, FLAGS.picture), output))
    return
  if not FLAGS.render:
    seeds = [int(seed) for seed in FLAGS.seeds]
    rows = plan(FLAGS.suite, FLAGS.rows or rows_of(FLAGS.suite), seeds, FLAGS.runs)
    train(rows, FLAGS.runs, output.parent / RECORDS)
  render(stored(FLAGS.runs), output)
  print(output)


def define_flags() -> None:
  """Defines the command-line flags of `uad-benchmark`."""
  flags.DEFINE_enum('suite', SUITES[0], SUITES, 'Data set of the rows.')
  flags.DEFINE_list('rows', [], f'Rows, of {", ".join(ROWS)}; all by default.')
  flags.DEFINE_list('seeds', ['0', '1', '2'], 'Seeds of the trainings.')
  flags.DEFINE_string('runs', RUNS, 'Folder that holds the run folders.')
  flags.DEFINE_string('output', 'docs/results.md', 'Page to write.')
  flags.DEFINE_bool('render', False, 'Train nothing; write the page.')
  flags.DEFINE_enum(
    'picture', None, SUITES, 'Train nothing; draw all methods of this suite.'
  )


def command() -> None:
  """Entry point of the command `uad-benchmark`: defines its flags and runs `main`."""
  define_flags()
  cli.run(main)


if __name__ == '__main__':
  command()
