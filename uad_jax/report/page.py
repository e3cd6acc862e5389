"""Writes an evaluation: results.json, subjects.csv, evaluation.npz, report.html."""

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
  """The versions of what the numbers depend on, and the device."""
  found = {'python': platform.python_version()}
  for package in PACKAGES:
    try:
      found[package] = importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
      found[package] = 'not installed'
  device = jax.devices()[0]
  return found | {'device': f'{len(jax.devices())} x {device.device_kind}'}


def command_line() -> str:
  """The command that runs now; a module's path is put back into its `-m` form."""
  main = getattr(sys.modules['__main__'], '__spec__', None)
  program = ['python', '-m', main.name] if main else ['python', *sys.argv[:1]]
  return shlex.join([*program, *sys.argv[1:]])


def subjects_csv(subjects: Sequence[Mapping]) -> str:
  """A row for each scan and scorer; unknown values are empty."""
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
  """Writes the four files into the run folder and returns the path of report.html.

  Args:
    results: Of `evaluate`.
    workdir: The run folder; its metrics.jsonl, where there is one, gives the training
      curve.
    title: What was evaluated, the page's head.
    config: The run's configuration, nested, with values that JSON takes.
    seed: Of the training.
    manifest: Digest of the data that was evaluated on; runs with unequal ones must not
      stand in one table.
    command: The exact command; by default that of this process.
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
  write_text(workdir / 'results.json', content + '\n')
  write_text(workdir / 'subjects.csv', subjects_csv(results.subjects))
  write_atomically(
    workdir / 'evaluation.npz', lambda file: np.savez_compressed(file, **arrays)
  )
  write_text(workdir / 'report.html', page)
  return workdir / 'report.html'
