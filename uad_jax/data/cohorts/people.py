"""Functions that read a data set's table of subjects: age, sex and diagnosis."""

import functools
import math
import pathlib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from uad_jax.data.cohorts import scan_files
from uad_jax.data.cohorts.entry import PEOPLE, Entry
from uad_jax.data.preprocessing.nifti import BadScan

Rows = Mapping[tuple[str, str], Mapping[str, str]]
"""Table of subjects: (subject, session) to the row, a mapping from column to text."""

Lookup = Callable[[Entry], Mapping[str, str]]
"""Function that returns a scan's row of the table of subjects (the known facts).

Columns that are used: age, split, pathology, domain and `entry.PEOPLE`.
"""

Reader = Callable[[pathlib.Path], Lookup]
"""Function that reads the table of subjects below a folder; returns a `Lookup`."""


PERSON = 'person'
"""Key of a row that names the participant whose scan a file is, in flat folders."""


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

  paths = [p for p in scan_files.matches(root, pattern) if not p.name.startswith('.')]
  if not paths:
    if needed:
      raise BadScan(f"{root} has no table '{pattern}', {needed}; put it there")
    return None
  path = paths[0]
  try:
    if path.suffix.startswith('.xls'):
      table = pandas.read_excel(path, dtype=str)
    else:
      table = pandas.read_csv(
        path, sep=_separator(path), dtype=str, encoding_errors='replace'
      )
  except ImportError as error:
    raise ModuleNotFoundError(
      f'{path} is an Excel table, which needs another package ({error}); install it by '
      '`pip install uad_jax[tables]` or save the table as .csv beside it'
    ) from error
  except (MemoryError, OSError) as error:
    raise BadScan(f'{path} cannot be read: {error}') from error
  except Exception as error:  # each package that reads Excel tables has its own errors
    reason = ' '.join(str(error).split()) or type(error).__name__
    raise BadScan(
      f'{path} cannot be read as a table: {reason}; allowed is a table of text or Excel'
    ) from error
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
    columns = [' '.join(column.split())[:100] for column in table.columns]
    raise BadScan(
      f"the table '{path}' has no column '{name}'; it has {few(columns, 20)}"
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
      earlier = rows.setdefault((_named(naming, name, pattern), ''), {})
      earlier |= {k: v for k, v in row.items() if v and not earlier.get(k)}
    return functools.partial(row_of, rows)

  return read


def _named(naming: Callable[[str], str], name: str, pattern: str) -> str:
  """The subject that a cell of a table stands for."""
  try:
    return naming(name)
  except (OverflowError, ValueError) as error:
    text = ' '.join(name.split())[:LONGEST]
    raise BadScan(
      f"the table '{pattern}' names a subject '{text}'; allowed are names as the data "
      "set's provider writes them"
    ) from error


def row_of(table: Rows, entry: Entry) -> Mapping[str, str]:
  """Returns the row of the table of subjects that belongs to a scan.

  This is the row of the scan's session, else that of its subject, else {}.
  """
  key = (entry.subject, entry.session)
  return table.get(key) or table.get((entry.subject, '')) or {}


def number(text: str) -> float | None:
  """Converts text to a number; returns None for text that is no finite number."""
  try:
    value = float(text)
  except ValueError:
    return None
  return value if math.isfinite(value) else None


OLDEST = 150.0
"""Largest number, in years, that is taken for an age."""

IN_A_YEAR = {'': 1, 'y': 1, 'm': 12, 'w': 52.18, 'd': 365.25}
"""First letter of a unit of time, as DICOM has it, to how many make a year."""

AGE = re.compile(
  r'[<>=~]*\s*(\d+(?:[.,]\d+)?)\s*(?:(?:-|to|\u2013)\s*(\d+(?:[.,]\d+)?))?\s*\+?\s*'
  r'(|y|yrs?|years?|yo|m|mo|months?|w|weeks?|d|days?)(?:\s+(?:or|and)\s+\w+)?\.?',
  re.IGNORECASE,
)


def years(text: str | None) -> float:
  """Converts the age in a table of subjects to years.

  A limit counts as the age (89+), a range as its middle (20-25), a comma as a decimal
  point; units are years, months, weeks and days, as in DICOM (030Y, 018M).

    >>> [years(age) for age in ('34.5', '89+', '030Y', '018M', '20-25', '34,5', 'n/a')]
    [34.5, 89.0, 30.0, 1.5, 22.5, 34.5, nan]

  Args:
    text: Text of the cell, or None.

  Returns:
    Age in years; nan for None, for text that is no age, and outside of 0 to `OLDEST`.
  """
  text = (text or '').strip()
  value = number(text)
  if value is None:
    match = AGE.fullmatch(text)
    if match is None:
      return math.nan
    limits = [float(n.replace(',', '.')) for n in match.group(1, 2) if n]
    value = sum(limits) / len(limits) / IN_A_YEAR[match[3][:1].lower()]
  return value if 0 <= value <= OLDEST else math.nan


LONGEST = 500
"""Largest number of characters of a name in a message."""


def personal(row: Mapping[str, str]) -> dict[str, Any]:
  """Returns the fields of an `Entry` that describe the person, from a table's row.

  Args:
    row: Row of the table of subjects, as a mapping from column to cell.

  Returns:
    The fields 'age', 'domain' and 'people'.
  """
  return {
    'age': years(row.get('age')),
    'domain': row.get('domain') or '',
    'people': {name: str(row[name]) for name in PEOPLE if row.get(name)},
  }


def few(names: Sequence[str], shown: int = 3) -> str:
  """Joins the first names of a list for a message, and counts the remaining ones.

  >>> few(['a', 'b', 'c', 'd', 'e'])
  'a, b, c and 2 more'
  """
  text = ', '.join(str(name)[:LONGEST] for name in names[:shown])
  return text if len(names) <= shown else f'{text} and {len(names) - shown} more'


def _separator(path: pathlib.Path) -> str:
  """The character between the columns of a table of text, by its first line."""
  usual = '\t' if path.suffix == '.tsv' else ','
  with path.open(encoding='utf-8', errors='replace') as file:
    header = file.readline(100_000)
  others = [c for c in '\t;,' if c in header]
  return usual if usual in header or not others else others[0]
