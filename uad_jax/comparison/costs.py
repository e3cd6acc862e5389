"""Functions that render the tables of costs and timings in docs/results.md."""

from collections.abc import Mapping
from typing import Any

from uad_jax.report.tables import markdown

HEAD = (
  'method', 'parameters', 'batch', 'step, ms', 'first score', 's a slice',
  'other scores, s a slice', 'compiled in, s', 'peak MiB',
)  # fmt: skip


def methods(stored: Mapping[str, Any]) -> str:
  """Renders a Markdown table of each method's parameters, times and memory.

  Args:
    stored: Content of methods.json, from `python -m benchmarks.methods --json=FILE`.
  """
  about, costs = stored['about'], stored['methods']
  rows = [row(name, cost) for name, cost in costs.items() if 'error' not in cost]
  failed = [
    f'- `{name}`: {cost["error"]}' for name, cost in costs.items() if 'error' in cost
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


def row(name: str, cost: Mapping[str, Any]) -> tuple[str, ...]:
  """Formats the parameters, times and memory of one method as cells of a table row.

  Args:
    name: Name of the method.
    cost: Entry of the method in methods.json.
  """
  first, *others = [(score, short(value)) for score, value in cost['scores'].items()]
  compiled = cost['compile_step'] + cost['compile_scores'][first[0]]
  return (
    name,
    f'{cost["parameters"]:,}'.replace(',', ' '),
    str(cost['batch']),
    ' / '.join(short(value) for value in cost['steps_ms']) or '-',
    *first,
    ', '.join(f'{score} {value}' for score, value in others) or '-',
    f'{compiled:.0f}',
    f'{cost["mib"]:.0f}',
  )


def cores(count: int) -> str:
  """Formats a number of cores: '1 core', '2 cores'."""
  return f'{count} core{"s" * (count > 1)}'


def short(value: float) -> str:
  """Formats a number with two significant digits, or as a whole number from 10 on."""
  return f'{value:.0f}' if value >= 10 else f'{value:.2g}'


SLOWER = 1.05
"""Median ratios up to this one count as 1, because of the noise of timings."""


def speed(stored: Mapping[str, Any]) -> str:
  """Renders a Markdown table that compares timings of this library with PyTorch.

  Args:
    stored: Content of benchmarks.json, from `python -m benchmarks.table --json=FILE`.
  """
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
  verdict = (
    'A ratio of 1.0 or less is asked for. Missed, by more than the noise of '
    f'{100 * (SLOWER - 1):.0f} %: {slow or "by none"}. Where their time goes and what '
    'was tried is in [findings.md](findings.md#speed-of-the-networks).'
  )
  return f'{machine}\n\n{markdown(head, rows)}\n\n{verdict}'


COST = (methods, 'methods')
"""Section of docs/results.md: rendering function and name of the JSON file."""
