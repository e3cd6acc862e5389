"""Functions that format the tables of the blind-spot study."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from uad_jax.comparison.blind_spot_scores import SCORES, waic
from uad_jax.comparison.seed_means import averaged
from uad_jax.domain_shift import confusion
from uad_jax.domain_shift.confusion import GROUPS, HEALTHY_SOURCE, Group
from uad_jax.evaluation.summary import plain
from uad_jax.report.tables import MISSING, Estimate, cell, markdown


def ensemble(records: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Estimate]]:
  """Computes the AUROCs of the WAIC over the seeds of a method, for whole scans.

  Args:
    records: Records of one method and target with several seeds.

  Returns:
    AUROCs by comparison in 'scans' and by shift in 'shifted'; {} if there is a single
    seed, or the method has no likelihood.
  """
  if len(records) < 2 or not all(record['elbo'] for record in records):
    return {}
  groups = {}
  for name in records[0]['elbo']:
    scans = sorted(set.intersection(*(set(r['elbo'][name]) for r in records)))
    values = [[record['elbo'][name][scan] for scan in scans] for record in records]
    subjects = np.array([scan.split('/')[0] for scan in scans])
    groups[name] = Group(waic(np.array(values)), subjects)
  healthy = groups[HEALTHY_SOURCE]
  compared = confusion.confusion({n: groups[n] for n in GROUPS if n in groups})
  return {
    'scans': {name: plain(interval) for name, interval in compared.items()},
    'shifted': {
      name: plain(confusion.auroc(healthy, group))
      for name, group in groups.items()
      if name not in GROUPS
    },
  }


def over_seeds(
  records: Sequence[Mapping[str, Any]], choose: Callable[[Mapping], Mapping], name: str
) -> Estimate | None:
  """Averages an estimate over the records (seeds) that have it.

  Args:
    records: Records of one method and target.
    choose: Returns the estimates by name of a record.
    name: Name of the estimate.
  """
  known = [(choose(record)[name], 1) for record in records if name in choose(record)]
  return averaged(known) if known else None


def shown(
  head: str, names: Sequence[str], columns: Mapping[str, Mapping[str, Estimate | None]]
) -> str:
  """Formats estimates as a Markdown table; rows without any are left out.

  Args:
    head: Heading of the first column.
    names: Names of the rows.
    columns: Estimates by method and name.
  """
  rows = [
    [name, *(cell(column.get(name), True) for column in columns.values())]
    for name in names
  ]
  kept = [row for row in rows if set(row[1:]) != {MISSING}]
  return markdown([head, *columns], kept)


def comparison_table(
  methods: Mapping[str, Sequence[Mapping]], level: str, comparison: str
) -> str:
  """Formats the AUROCs of one comparison: scores as rows, methods as columns.

  Args:
    methods: Records of the seeds by method, of one target.
    level: 'scans' or 'slices'.
    comparison: Name from `COMPARISONS`.
  """
  columns = {}
  for method, records in methods.items():
    column = {
      score: over_seeds(records, lambda r, s=score: r[level].get(s, {}), comparison)
      for score in SCORES
    }
    if level == 'scans':
      column['WAIC'] = ensemble(records).get('scans', {}).get(comparison)
    columns[method] = column
  return shown('score', list(SCORES), columns)


def shift_table(records: Sequence[Mapping[str, Any]]) -> str:
  """Formats the AUROCs of the shifts of one method: scores as rows, shifts as columns.

  Only whole scans are shown, without intervals.
  """
  together = ensemble(records).get('shifted', {})
  shifts = list(next(iter(records[0]['shifted']['scans'].values())))
  rows = []
  for score in SCORES:
    estimates = [
      together.get(shift)
      if score == 'WAIC'
      else over_seeds(
        records, lambda r, s=score: r['shifted']['scans'].get(s, {}), shift
      )
      for shift in shifts
    ]
    if any(estimates):
      rows.append([score, *(cell(estimate, False) for estimate in estimates)])
  return markdown(['score', *(shift.replace('_', ' ') for shift in shifts)], rows)


def marked_table(methods: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
  """Formats the marked shares: groups and shifts as rows, methods as columns."""
  names = list(next(iter(methods.values()))[0]['marked'])
  columns = {
    method: {name: over_seeds(records, lambda r: r['marked'], name) for name in names}
    for method, records in methods.items()
  }
  return shown('scans', names, columns)
