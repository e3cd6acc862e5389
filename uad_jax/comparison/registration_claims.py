"""Functions that write what the study of registration shows, and what would refute it.

They are a section of docs/registration.md, made from the same records as its tables.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from uad_jax.comparison.paired_differences import side, signed
from uad_jax.report.tables import MISSING, cell, markdown

Record = Mapping[str, Any]

BEST = 'best uniform'
"""Key of `CLAIMS` for the uniform field with the highest AUPRC on the test scans."""

CLAIMS = {
  'no field': '(a) better than no field',
  BEST: '(b) better than the best uniform field',
  'switch': '(c) better than the switch',
  'permuted gate': '(d) better than the gate of another subject',
}
"""Title of each part of the claim, by the row that the gated field is compared with."""

SOURCES = {
  'ixi_lesions': 'whole T1 heads at 3 mm, lesions inserted by `prepare lesions`; '
  'settings were chosen on other heads with lesions of this kind',
  'ixi_held_out': 'the same scanner, other heads, lesions by a mechanism that no '
  'painter of the package shares (`--mechanism=mixture`)',
  'stroke_flair_2d': 'one FLAIR slice of each patient, real strokes, with the settings '
  'of the heads',
}
"""Description of the test data, by target of the study."""

HEAD = """## What holds, and on which data

The claim is that a gate that stops the registration at unexpected voxels lets normal
variability be registered and lesions not, so that the map T of the gated field ranks
lesions higher. It has four parts, each an AUPRC difference of *gated* at the training's
stiffness to another row, paired over subjects. *Holds*: the interval is above 0;
*refuted*: below 0; *open*: it includes 0. The best uniform field is the best of six on
the test scans themselves, which favours it.
"""

REFUTES = """### What would refute the claim

Each of these would, on scans that chose no setting:

- (b) not above 0: a uniform strength does the same, and the gate earns nothing;
- (d) not above 0: any gate of this size does, and the gain is stiffness alone;
- (a) not above 0: registration itself is of no use to the map;
- lesions lose as much of their residual as under the uniform field (*RKR* no higher),
  or healthy tissue is no longer registered (*HRR* lower by more than a twentieth);
- a gate that keeps large but healthy ventricles from being registered (*known
  ventricles*: healthy scans whose ventricles were inflated; endpoint error in voxels
  above the uniform field's; the gate is its mean in the brain);
- a true mask that is no better than the gate while neither finds the lesions: then no
  gate can help, and the map has to change.
"""


def verdict(interval: Sequence[float]) -> str:
  """Returns what the interval of a difference says about a claim.

  Examples:
    >>> verdict([0.01, 0.05]), verdict([-0.03, 0.01]), verdict([-0.05, -0.01])
    ('holds', 'open', 'refuted')
  """
  return {1: 'holds', -1: 'refuted', 0: 'open'}[side(interval)]


def best_uniform(record: Record) -> str:
  """Returns the name of the row of the uniform field with the highest AUPRC."""
  rows = record['rows']
  uniform = [row for row in rows if row.startswith('uniform, ')]
  return max(uniform, key=lambda row: rows[row]['auprc']['value'])


def difference(record: Record, row: str) -> Mapping[str, Any] | None:
  """Returns the paired difference of the gated field to a row; None if it is missing.

  Args:
    record: A record of the study.
    row: Name of a row, or `BEST`.
  """
  return record['differences'].get(best_uniform(record) if row == BEST else row)


def to_the_mask(record: Record) -> str:
  """Formats the difference of the gated field to that of the true mask."""
  gap = difference(record, 'true mask')
  return signed(gap) if gap else MISSING


def both(record: Record, metric: str) -> str:
  """Formats a metric of the gated and of the uniform field of one stiffness."""
  at = f'{record["stiffness"]:g}'
  pair = [record['rows'].get(f'{kind}, {at}', {}) for kind in ('gated', 'uniform')]
  return ', '.join(cell(numbers.get(metric), False) for numbers in pair)


def opened(record: Record) -> str:
  """Formats how much of the lesions and of healthy tissue the gate hides."""
  gated = record['rows'].get(f'gated, {record["stiffness"]:g}', {})
  names = ('gate_lesion_recall', 'gate_healthy_open')
  return ', '.join(cell(gated.get(name), False) for name in names)


def ventricles(record: Record) -> str:
  """Formats the endpoint errors with ventricles inflated the least, and the gate."""
  tests = [e for e in record['known'] if e['kind'] == 'inflated ventricles']
  if not tests:
    return MISSING
  least = min(entry['size'] for entry in tests)
  rows = {entry['row']: entry for entry in tests if entry['size'] == least}
  errors = [cell(rows[row]['endpoint'], False) for row in ('gated', 'uniform')]
  gated = rows['gated']
  gate = cell(gated['gate'], False)
  return f'{", ".join(errors)}; gate {gate}, {gated["growth"]:.1f} times the volume'


def table(records: Sequence[Record]) -> str:
  """Writes the table of claims, with one column for each data set."""
  head = [f'{r["target"]} ({r["sick"]} with lesions)' for r in records]
  lines = []
  for row, claim in CLAIMS.items():
    gaps = [difference(record, row) for record in records]
    cells = [
      f'{signed(gap)} {verdict(gap["interval"])}' if gap else MISSING for gap in gaps
    ]
    lines.append([claim, *cells])
  more = {
    'minus the true mask as the gate': to_the_mask,
    'RKR: gated, uniform': lambda r: both(r, 'rkr'),
    'HRR: gated, uniform': lambda r: both(r, 'hrr'),
    'gate open: lesion, healthy': opened,
    'known ventricles: gated, uniform': ventricles,
  }
  lines += [[name, *map(write, records)] for name, write in more.items()]
  return markdown(['gated field', *head], lines)


def refuted(records: Sequence[Record]) -> str:
  """Writes which parts of the claim the records refute, and where."""
  parts = []
  for record in records:
    entries = {claim: difference(record, row) for row, claim in CLAIMS.items()}
    against = [
      claim.split()[0]
      for claim, entry in entries.items()
      if entry and verdict(entry['interval']) == 'refuted'
    ]
    if against:
      parts.append(f'{", ".join(against)} on {record["target"]}')
  said = '; '.join(parts) if parts else 'none'
  return f'Refuted by the records of this page: {said}.'


def section(records: Sequence[Record]) -> list[str]:
  """Writes the section on what holds, what does not, and what would refute it.

  Args:
    records: The newest record of each data set.
  """
  if not records:
    return []
  sources = [
    f'- `{record["target"]}`: {SOURCES[record["target"]]}.'
    for record in records
    if record['target'] in SOURCES
  ]
  return [HEAD, table(records), '\n'.join(sources), REFUTES, refuted(records)]
