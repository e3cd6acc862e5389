"""Functions that read a data set's table of subjects: age, sex and diagnosis."""

import csv
import functools
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

from uad_jax.data.cohorts.entry import Entry
from uad_jax.data.cohorts.splits import check_splits
from uad_jax.data.preprocessing.nifti import BadScan

Rows = Mapping[tuple[str, str], Mapping[str, str]]
"""Table of subjects: (subject, session) to the row, a mapping from column to text."""

Lookup = Callable[[Entry], Mapping[str, str]]
"""Function that returns a scan's row of the table of subjects (the known facts).

Columns that are used: age, split, pathology, domain and `entry.PEOPLE`.
"""

Reader = Callable[[pathlib.Path], Lookup]
"""Function that reads the table of subjects below a folder; returns a `Lookup`."""


def no_table(root: pathlib.Path) -> Lookup:
  """Returns a function that finds no subject data, for cohorts without a table.

  The function returns an empty dict for every scan.
  """
  del root
  return lambda entry: {}


def load(root: pathlib.Path, pattern: str, needed: str = ''):
  """Reads a table of subjects from the first file whose path matches a pattern.

  Args:
    root: Path of the folder.
    pattern: Glob pattern of .tsv, .csv, .xls or .xlsx files.
    needed: Clause on what the table is for, if the cohort cannot be read without it,
      such as 'which tells who is healthy'; '' for an optional table.

  Returns:
    pandas DataFrame of text, empty cells ''; None if an optional table is missing.

  Raises:
    BadScan: A needed table is missing, or the file is not a table.
    ModuleNotFoundError: A package for reading Excel tables is not installed.
  """
  import pandas

  paths = sorted(p for p in root.glob(pattern) if not p.name.startswith('.'))
  if not paths:
    if needed:
      raise BadScan(f"{root} has no table '{pattern}', {needed}; put it there")
    return None
  path = paths[0]
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
  """Returns one column of a table of subjects as text without surrounding spaces.

  Args:
    table: pandas DataFrame, as `load` returns it.
    name: Name of the column.
    path: Name of the table, for the error message.

  Returns:
    pandas Series of text.

  Raises:
    BadScan: The table has no such column.
  """
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
  """Returns a function that reads the table of subjects of a cohort.

  If a subject has several rows, the first value of each column counts. If the table
  is missing, the row of every scan is empty.

  Args:
    pattern: Glob pattern of the table below the source folder.
    subject: Name of the table's column of subjects.
    columns: From our name of a column ('age', 'sex', ...) to its name in the table.
    naming: Function from a value of the column of subjects to the subject in the file
      names.
    values: From our name of a column to a mapping of its values, such as
      {'sex': {'1': 'M'}}; other values are kept.
  """

  def read(root: pathlib.Path) -> Lookup:
    table = load(root, pattern)
    if table is None:
      return no_table(root)
    subjects = column(table, subject, pattern)
    known = {ours: column(table, theirs, pattern) for ours, theirs in columns.items()}
    rows = {}
    for index, name in enumerate(subjects):
      if not name:
        continue
      row = {ours: series.iloc[index] for ours, series in known.items()}
      for ours, mapping in (values or {}).items():
        row[ours] = mapping.get(row.get(ours, ''), row.get(ours, ''))
      # Of a subject with several rows, the first value of each column counts.
      earlier = rows.setdefault((naming(name), ''), {})
      earlier |= {k: v for k, v in row.items() if v and not earlier.get(k)}
    return functools.partial(row_of, rows)

  return read


def row_of(table: Rows, entry: Entry) -> Mapping[str, str]:
  """Returns the row of the table of subjects that belongs to a scan.

  This is the row of the scan's session, else that of its subject, else {}.
  """
  key = (entry.subject, entry.session)
  return table.get(key) or table.get((entry.subject, '')) or {}


def read_table(path: pathlib.Path) -> dict[tuple[str, str], dict[str, str]]:
  """Reads participants.tsv, the table of subjects of a BIDS folder.

  Args:
    path: The tab-separated file; it may be absent.

  Returns:
    Mapping from (subject, session) to the row; the session is '' if the table has no
    column session_id.

  Raises:
    BadScan: The column participant_id is missing, or a subject is in two splits.
  """
  if not path.is_file():
    return {}
  with path.open(newline='') as file:
    rows = list(csv.DictReader(file, delimiter='\t'))
  if rows and 'participant_id' not in rows[0]:
    raise BadScan(f"{path} lacks the column 'participant_id'; allowed is a BIDS table")
  check_splits(
    ((row['participant_id'], row['split']) for row in rows if row.get('split')),
    str(path),
  )
  return {(row['participant_id'], row.get('session_id') or ''): row for row in rows}


def number(text: str) -> float | None:
  """Converts text to a number; returns None for text that is not a number."""
  try:
    return float(text)
  except ValueError:
    return None
