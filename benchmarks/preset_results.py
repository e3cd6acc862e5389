"""Measured results in the docstrings of presets. Writes them from the stored results.

  python -m benchmarks.preset_results

The last paragraph of such a docstring starts with `START`. It has the AUPRC of the
method on three data sets (docs/runs) and its cost (docs/methods.json).
"""

import json
import pathlib
import textwrap
from collections.abc import Mapping, Sequence

from uad_jax.comparison.records import BASELINE, METRIC, Record
from uad_jax.comparison.seed_means import by_method, over_seeds
from uad_jax.comparison.stored_records import read
from uad_jax.report.atomic_files import write_text

START = 'Measured here (docs/results.md):'
SUITES = ('demo', 'ixi', 'stroke_flair64')
END = '\n"""\n'


def presets() -> list[pathlib.Path]:
  """Finds the presets with such a paragraph."""
  files = sorted(pathlib.Path('configs').glob('*.py'))
  return [file for file in files if f'\n{START}' in file.read_text()]


def stored_results() -> dict[str, dict[str, list[Record]]]:
  """Reads the stored records by data set and method."""
  return {s: by_method(read(pathlib.Path(f'docs/runs/{s}.jsonl'))) for s in SUITES}


def accuracy(name: str, suite: str, methods: Mapping[str, Sequence[Record]]) -> str:
  """Describes the AUPRC on one data set: '0.102 on `demo` (1 seed, ...)'.

  Args:
    name: Method name in the tables.
    suite: Data set.
    methods: Records of this data set by method.
  """
  members = methods[name]
  seeds = sum(len(record.seeds) for record in members)
  maps = sorted({record.default for record in members})
  value, atlas = (
    over_seeds(rows, METRIC)['value'] for rows in (members, methods[BASELINE])
  )
  return (
    f'{value:.3f} on `{suite}` ({seeds} {"seed" if seeds == 1 else "seeds"}, map '
    f'{" or ".join(f"`{m}`" for m in maps)}; {BASELINE} {atlas:.3f})'
  )


def paragraph(
  name: str,
  results: Mapping[str, Mapping[str, Sequence[Record]]],
  timings: Mapping[str, Mapping],
) -> str:
  """Renders the paragraph of one method.

  Args:
    name: Method name in the tables, which is the name of the preset.
    results: Records by data set and method.
    timings: Content of docs/methods.json.
  """
  cost, about = timings['methods'][name], timings['about']
  size, steps = about['size'], cost['steps_ms']
  text = (
    f'{START} AUPRC '
    f'{", ".join(accuracy(name, suite, results[suite]) for suite in SUITES)}. Cost at '
    f'{size} x {size} (docs/methods.json) on one core of an {about["machine"]} '
    f'machine: {", ".join(f"{ms:.0f}" for ms in steps)} ms for a training step of '
    f'{cost["batch"]} slices{" in its stages" if len(steps) > 1 else ""}, '
    f'{cost["mib"]:.0f} MiB of memory at the peak.'
  )
  return textwrap.fill(text, 88, break_on_hyphens=False)


def updated(source: str, text: str) -> str:
  """Replaces the paragraph in the source of a preset.

  Args:
    source: Source of the preset.
    text: New paragraph.

  Raises:
    ValueError: The paragraph is not the last of the docstring.
  """
  before, _, rest = source.partition(f'\n{START}')
  old, end, after = rest.partition(END)
  if '\n\n' in old or not end:
    raise ValueError(f"'{START}' does not open the last paragraph of the docstring")
  return f'{before}\n{text}{END}{after}'


if __name__ == '__main__':
  records = stored_results()
  costs = json.loads(pathlib.Path('docs/methods.json').read_text())
  for file in presets():
    write_text(file, updated(file.read_text(), paragraph(file.stem, records, costs)))
    print(file)
