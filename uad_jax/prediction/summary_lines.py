"""Function that formats the last messages of the command `uad-predict`."""

import pathlib

from uad_jax.prediction.batch import Summary
from uad_jax.prediction.result_tables import text_of

SHOWN = 20
"""Number of scans whose warnings are printed; scans.csv and the sidecars hold all."""


def lines_of(summary: Summary, total: int, folder: pathlib.Path) -> list[str]:
  """Formats the last messages of the command: failures, warnings, notes and counts.

  Args:
    summary: Result of `batch.Batch.predict`.
    total: Number of scans in the input.
    folder: Folder of the results.
  """
  lines = [f'left out: {problem}' for problem in summary.failed]
  warned = [(name, texts) for name, texts in summary.warnings.items() if texts]
  lines += [f'warning: {name}: {"; ".join(texts)}' for name, texts in warned[:SHOWN]]
  if len(warned) > SHOWN:
    lines.append(f'{len(warned) - SHOWN} further scans have warnings, see scans.csv')
  lines += [f'note: {note}' for note in summary.notes]
  last = f'{summary.predicted} of {total} scans predicted in {folder}'
  if summary.earlier:
    last += f'; {summary.earlier} of {total} were done already'
  return [text_of(line) for line in (*lines, last)]
