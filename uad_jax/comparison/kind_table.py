"""Function that renders the AUPRC of all methods by kind of lesion."""

from collections.abc import Sequence

from uad_jax.comparison.records import Record
from uad_jax.comparison.seed_means import averaged, by_method
from uad_jax.report.tables import MISSING, cell, markdown

NOTE = (
  'AUPRC of the scans with one kind of lesion (their voxels together), in the map that '
  'a run chose on validation data. Iso-intense lesions (`iso`) have the mean intensity '
  'of the tissue and differ in texture alone. Runs that were recorded before this '
  'table was added are not in it.'
)


def section(records: Sequence[Record]) -> str:
  """Renders the Markdown table of AUPRC by kind of lesion.

  Args:
    records: Records of one data set.

  Returns:
    A heading, a note and the table, with one row for each method; '' if no record has
    kinds of lesions.
  """
  kinds = sorted({kind for record in records for kind in record.kinds})
  rows = []
  for name, members in by_method([r for r in records if r.kinds]).items():
    cells = []
    for kind in kinds:
      entries = [(r.kinds[kind], len(r.seeds)) for r in members if kind in r.kinds]
      cells.append(cell(averaged(entries), True) if entries else MISSING)
    rows.append([name, *cells, str(sum(len(r.seeds) for r in members))])
  if not rows:
    return ''
  table = markdown(['method', *kinds, 'seeds'], rows)
  return f'### AUPRC by kind of lesion\n\n{NOTE}\n\n{table}'
