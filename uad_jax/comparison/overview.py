"""Function that renders one table of all methods on all data sets."""

from collections.abc import Mapping, Sequence

from uad_jax.comparison.benchmark_rows import ROWS
from uad_jax.comparison.paired_differences import side
from uad_jax.comparison.records import BASELINE, METRIC, Record
from uad_jax.comparison.seed_means import by_method, over_baseline, over_seeds
from uad_jax.report.tables import MISSING, Estimate, markdown

NOTE = f"""AUPRC over all test voxels of the map that each run chose on validation data,
mean over the seeds, whose number is in brackets. `+` and `-`: the 95 % interval of the
paired difference to `{BASELINE}` lies above or below 0 (its ends averaged over the
seeds). The sections below have the intervals and describe the test data of each column.
"""


def sign(over: Estimate | None) -> str:
  """Returns ' +' or ' -' if the interval of a difference excludes 0, otherwise ''."""
  if over is None:
    return ''
  return {1: ' +', -1: ' -', 0: ''}[side(over['interval'])]


def section(suites: Mapping[str, Sequence[Record]]) -> str:
  """Renders the section in Markdown; '' if there are fewer than two data sets.

  Args:
    suites: Records by data set.
  """
  groups = {suite: by_method(records) for suite, records in suites.items() if records}
  if len(groups) < 2:
    return ''
  rows = [
    [name, *(cell(methods, name) for methods in groups.values())]
    for name in ROWS
    if any(name in methods for methods in groups.values())
  ]
  table = markdown(['method', *groups], rows)
  return f'## All data sets\n\n{NOTE}\n{table}\n'


def cell(methods: Mapping[str, Sequence[Record]], name: str) -> str:
  """Formats the AUPRC of a method on one data set, as '0.712 + (3)'."""
  if name not in methods:
    return MISSING
  members = methods[name]
  value = over_seeds(members, METRIC)['value']
  seeds = sum(len(record.seeds) for record in members)
  over = over_baseline(members, methods.get(BASELINE, ()))
  return f'{value:.3f}{sign(over)} ({seeds})'
