"""Who the subjects are: the tables that providers give beside their scans.

A reader takes the source folder and gives a function from a scan to what is known of
it (`layout.Who`).
"""

import functools
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

from uad_jax.data.cohorts.layout import Who, row_of
from uad_jax.data.preprocessing.nifti import BadScan

Reader = Callable[[pathlib.Path], Who]


def nobody(root: pathlib.Path) -> Who:
  """For cohorts without a table."""
  del root
  return lambda entry: {}


def load(root: pathlib.Path, pattern: str, needed: str = ''):
  """The first table below a folder by a pattern, as a pandas DataFrame of text.

  Tables may be .tsv, .csv, .xls or .xlsx.

  Args:
    root: The folder.
    pattern: Glob of the table.
    needed: Why there must be one; without it None is given where there is none.
  """
  import pandas

  found = sorted(p for p in root.glob(pattern) if not p.name.startswith('.'))
  if not found:
    if needed:
      raise BadScan(f"{root} has no table '{pattern}', {needed}; put it there")
    return None
  path = found[0]
  try:
    if path.suffix.startswith('.xls'):
      table = pandas.read_excel(path, dtype=str)
    else:
      separator = '\t' if path.suffix == '.tsv' else ','
      table = pandas.read_csv(path, sep=separator, dtype=str, encoding_errors='replace')
  except ImportError as error:
    raise ModuleNotFoundError(
      f'{path} is an Excel table, which needs another package ({error}); install it by '
      '`pip install uad_jax[tables]` or save the table as .csv beside it'
    ) from error
  except (ValueError, pandas.errors.ParserError) as error:
    raise BadScan(f'{path} cannot be read as a table: {error}') from error
  return table.rename(columns=lambda name: str(name).strip()).fillna('')


def column(table, name: str, path: str) -> Any:
  """A column by its name; a table without it is refused."""
  if name not in table.columns:
    raise BadScan(
      f"the table '{path}' has no column '{name}'; it has {', '.join(table.columns)}"
    )
  return table[name].str.strip()


def reader(
  pattern: str,
  subject: str,
  columns: Mapping[str, str],
  naming: Callable[[str], str] = str,
  values: Mapping[str, Mapping[str, str]] | None = None,
) -> Reader:
  """A reader of a table with a row for each subject.

  Args:
    pattern: Glob of the table below the source.
    subject: Its column of subjects.
    columns: Our column to the table's.
    naming: What makes the subject of the file names out of the column's value.
    values: Our column to a mapping of the table's values, such as {'sex': {'1': 'M'}}.
  """

  def read(root: pathlib.Path) -> Who:
    table = load(root, pattern)
    if table is None:
      return nobody(root)
    subjects = column(table, subject, pattern)
    known = {ours: column(table, theirs, pattern) for ours, theirs in columns.items()}
    rows = {}
    for at, name in enumerate(subjects):
      if not name:
        continue
      row = {ours: series.iloc[at] for ours, series in known.items()}
      for ours, mapping in (values or {}).items():
        row[ours] = mapping.get(row.get(ours, ''), row.get(ours, ''))
      # A subject who stands twice keeps what the first row tells.
      before = rows.setdefault((naming(name), ''), {})
      before |= {k: v for k, v in row.items() if v and not before.get(k)}
    return functools.partial(row_of, rows)

  return read


def number(text: str) -> float | None:
  """A number, or None."""
  try:
    return float(text)
  except ValueError:
    return None
