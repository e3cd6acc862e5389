"""Functions that write the results and report of an evaluation into a run folder."""

import csv
import datetime
import importlib.metadata
import io
import json
import math
import platform
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import jax
import numpy as np

from uad_jax.evaluation import sample
from uad_jax.evaluation.summary import Results
from uad_jax.report.atomic_files import write_atomically, write_text
from uad_jax.report.render import render

PACKAGES = ('uad_jax', 'jax', 'jaxlib', 'flax', 'optax', 'numpy', 'scipy')


def versions() -> dict[str, str]:
  """Returns the versions of Python and of the main packages, and the devices of JAX."""
  versions_used = {'python': platform.python_version()}
  for package in PACKAGES:
    try:
      versions_used[package] = importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
      versions_used[package] = 'not installed'
  device = jax.devices()[0]
  return versions_used | {'device': f'{len(jax.devices())} x {device.device_kind}'}


def command_line() -> str:
  """Returns the command line that started this process, such as `python -m MODULE`."""
  main = getattr(sys.modules['__main__'], '__spec__', None)
  program = ['python', '-m', main.name] if main else ['python', *sys.argv[:1]]
  return shlex.join([*program, *sys.argv[1:]])


def subjects_csv(subjects: Sequence[Mapping]) -> str:
  """Renders the text of subjects.csv, a table with a row for each scan and scorer.

  A value that is nan becomes an empty cell.

  Args:
    subjects: Rows, each a value by name of the column.
  """
  names = list(dict.fromkeys(name for row in subjects for name in row))
  stream = io.StringIO()
  writer = csv.DictWriter(stream, names, lineterminator='\n')
  writer.writeheader()
  for row in subjects:
    known = {
      k: v for k, v in row.items() if not (isinstance(v, float) and math.isnan(v))
    }
    writer.writerow(known)
  return stream.getvalue()


def write(
  results: Results,
  workdir: str | Path,
  *,
  title: str,
  config: Mapping,
  seed: int,
  manifest: str | None = None,
  command: str | None = None,
) -> Path:
  """Writes results.json, subjects.csv, evaluation.npz and report.html to a run folder.

  Args:
    results: Results of `evaluate`.
    workdir: The run folder; its metrics.jsonl, if there is one, gives the training
      curve.
    title: Heading of report.html.
    config: Nested config of the run, with values that JSON can hold.
    seed: Seed of the training.
    manifest: Digest of the data of the evaluation; runs with different digests must not
      stand in one table.
    command: Command that made the evaluation; by default that of this process.

  Returns:
    Path of report.html.
  """
  workdir = Path(workdir)
  workdir.mkdir(parents=True, exist_ok=True)
  now = datetime.datetime.now(datetime.UTC)
  run = {
    'title': title,
    'command': command or command_line(),
    'config': config,
    'seed': seed,
    'manifest': manifest,
    'versions': versions(),
    'written': now.isoformat(timespec='seconds'),
  }
  # Rendered first: where that fails, nothing of an older evaluation is replaced.
  page = render(results, run, title, workdir / 'metrics.jsonl')
  content = json.dumps({**results.summary, 'run': run}, indent=1, allow_nan=False)
  arrays = sample.pack(results.samples)
  write_text(workdir / 'subjects.csv', subjects_csv(results.subjects))
  write_atomically(
    workdir / 'evaluation.npz', lambda file: np.savez_compressed(file, **arrays)
  )
  write_text(workdir / 'report.html', page)
  # Last: a run with results.json counts as evaluated.
  write_text(workdir / 'results.json', content + '\n')
  return workdir / 'report.html'
