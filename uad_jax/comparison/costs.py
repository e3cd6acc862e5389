"""Speed beside PyTorch, and what each method costs: sections of docs/results.md."""

from collections.abc import Mapping
from typing import Any

from uad_jax.report.tables import markdown

HEAD = (
  'method', 'parameters', 'batch', 'step, ms', 'first score', 's a slice',
  'other scores, s a slice', 'compiled in, s', 'peak MiB',
)  # fmt: skip


def methods(stored: Mapping[str, Any]) -> str:
  """What `benchmarks.methods --json=FILE` stored, in Markdown."""
  about, found = stored['about'], stored['methods']
  rows = [row(name, told) for name, told in found.items() if 'error' not in told]
  failed = [
    f'- `{name}`: {told["error"]}' for name, told in found.items() if 'error' in told
  ]
  parts = [
    '## Cost of each method',
    f'Configs at their size for {about["size"]} x {about["size"]}, on random images; '
    f'{about["machine"]}, {cores(about["cores"])}, jax {about["jax"]}. Times are the '
    "processor's, summed over the cores. A step is the mean over the cycle of "
    'objectives that are due, by stage; its batch is also that of the scores. '
    'Compilation is that of all steps and of the first score. The peak is of a fresh '
    'process that compiles, trains and scores with every row. `python -m '
    'benchmarks.methods`.',
    markdown(HEAD, rows),
  ]
  return '\n\n'.join([*parts, *(['\n'.join(failed)] if failed else [])]) + '\n'


def row(name: str, told: Mapping[str, Any]) -> tuple[str, ...]:
  """The cells of one method."""
  first, *others = [(score, short(value)) for score, value in told['scores'].items()]
  compiled = told['compile_step'] + told['compile_scores'][first[0]]
  return (
    name,
    f'{told["parameters"]:,}'.replace(',', ' '),
    str(told['batch']),
    ' / '.join(short(value) for value in told['steps_ms']) or '-',
    *first,
    ', '.join(f'{score} {value}' for score, value in others) or '-',
    f'{compiled:.0f}',
    f'{told["mib"]:.0f}',
  )


def cores(count: int) -> str:
  """'1 core', '2 cores'."""
  return f'{count} core{"s" * (count > 1)}'


def short(value: float) -> str:
  """Two significant digits, and whole numbers above."""
  return f'{value:.0f}' if value >= 10 else f'{value:.2g}'


SLOWER = 1.05
"""Median ratios up to this are not told from 1."""


def speed(stored: Mapping[str, Any]) -> str:
  """The timings that `benchmarks.table --json=FILE` stored, in Markdown."""
  about = stored['about']
  machine = (
    f'{about["machine"]}, {cores(about["cores"])}, jax {about["jax"]} on '
    f'{about["devices"]} devices, torch {about["torch"]} on {about["threads"]} threads'
  )
  head = ('case', 'jax, ms', 'torch, ms', 'ratio of best', 'median ratio')
  rows = []
  for name, row in stored['cases'].items():
    cells = [f'{row["ours_ms"]:.1f}']
    cells += [f'{row["torch_ms"]:.1f}' if 'torch_ms' in row else '-']
    for key in ('ratio_of_best', 'median_ratio'):
      cells += [f'{row[key]:.2f}' if key in row else '-']
    rows.append([name, *cells])
  ratios = {n: row.get('median_ratio', 0) for n, row in stored['cases'].items()}
  slow = '; '.join(
    f'{n} ({ratio:.2f})' for n, ratio in ratios.items() if ratio > SLOWER
  )
  told = (
    'A ratio of 1.0 or less is asked for. Missed, by more than the noise of '
    f'{100 * (SLOWER - 1):.0f} %: {slow or "by none"}. Where their time goes and what '
    'was tried is in [decisions-speed.md](decisions-speed.md).'
  )
  return f'{machine}\n\n{markdown(head, rows)}\n\n{told}'


COST = (methods, 'methods')
"""The section and the name of its stored measurement."""
