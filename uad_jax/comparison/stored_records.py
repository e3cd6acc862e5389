"""Functions that store the records of runs, from which docs/results.md is rendered.

Run folders are large and stay on the machine that made them. docs/runs/SUITE.jsonl
(SUITE is a data set) has one JSON line, a record, for each evaluation of a run or for
the mean of several, so a method can be added on another machine and another day.
"""

import json
import pathlib
from collections import defaultdict
from collections.abc import Sequence

from uad_jax.comparison.paired_differences import Rival
from uad_jax.comparison.records import Record
from uad_jax.report.atomic_files import write_text

LATER = ('patients', 'groups', 'kinds')
"""Fields of a record that records of earlier versions lack."""


def merge(kept: Sequence[Record], fresh: Sequence[Record]) -> list[Record]:
  """Merges the stored results of runs with new results, counting each seed only once.

  A stored record is dropped if all of its seeds are among the new ones. A new record
  is left out if its seed is still part of a stored mean of several seeds.

  Args:
    kept: Stored records.
    fresh: New records.
  """
  seeds = defaultdict(set)
  for record in fresh:
    seeds[record.name, record.variant].update(record.seeds)
  stay = [r for r in kept if not {*r.seeds} <= seeds[r.name, r.variant]]
  held = defaultdict(set)
  for record in stay:
    held[record.name, record.variant].update(record.seeds)
  return stay + [r for r in fresh if not held[r.name, r.variant] & {*r.seeds}]


def read(path: pathlib.Path) -> list[Record]:
  """Reads the stored results (records) of runs from a JSON lines file.

  A missing file gives an empty list.

  Raises:
    ValueError: A line is not a record.
  """
  records = []
  lines = path.read_text().splitlines() if path.exists() else []
  for number, line in enumerate(lines, 1):
    try:
      fields = json.loads(line)
      fields['seeds'] = tuple(fields['seeds'])
      fields['rivals'] = [Rival(*rival) for rival in fields['rivals']]
      records.append(Record(**fields))
    except (ValueError, TypeError, KeyError) as error:
      raise ValueError(f'{path}, line {number}, is no record: {error}') from None
  return records


def write(path: pathlib.Path, records: Sequence[Record]) -> None:
  """Writes the results (records) of runs to a JSON lines file, one line per record."""
  path.parent.mkdir(parents=True, exist_ok=True)
  lines = [
    {name: value for name, value in r._asdict().items() if name not in LATER or value}
    for r in records
  ]
  write_text(path, ''.join(f'{json.dumps(line)}\n' for line in lines))
