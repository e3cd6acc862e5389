"""What each method costs, as a section of docs/results.md."""

from collections.abc import Mapping
from typing import Any

from uad_jax.report.tables import markdown

HEAD = (
  'method', 'parameters', 'batch', 'step, ms', 'first score', 's a slice',
  'other scores, s a slice', 'compiled in, s', 'peak MiB',
)  # fmt: skip


def methods(stored: Mapping[str, Any]) -> str:
  """What `tests.benchmarks.methods --json=FILE` stored, in Markdown."""
  about, found = stored['about'], stored['methods']
  rows = [row(name, told) for name, told in found.items() if 'error' not in told]
  failed = [
    f'- `{name}`: {told["error"]}' for name, told in found.items() if 'error' in told
  ]
  parts = [
    '## Cost of each method',
    f'Configs at their size for {about["size"]} x {about["size"]}, on random images; '
    f'{about["machine"]}, {about["cores"]} cores, jax {about["jax"]}. Times are the '
    "processor's, summed over the cores. A step is the mean over the cycle of "
    'objectives that are due, by stage; its batch is also that of the scores. '
    'Compilation is that of all steps and of the first score. The peak is of a fresh '
    'process that compiles, trains and scores with every row. `python -m '
    'tests.benchmarks.methods`.',
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


def short(value: float) -> str:
  """Two significant digits, and whole numbers above."""
  return f'{value:.0f}' if value >= 10 else f'{value:.2g}'


COST = (methods, 'methods')
"""The section and the name of its stored measurement."""
