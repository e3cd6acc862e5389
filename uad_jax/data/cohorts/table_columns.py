"""Functions that find the known columns in the header of a table of subjects."""

import difflib
import pathlib
import re
from collections.abc import Iterator, Sequence

from uad_jax.data.cohorts.entry import PEOPLE
from uad_jax.data.cohorts.people import few
from uad_jax.data.cohorts.tab_separated import BLANKS
from uad_jax.data.preprocessing.nifti import BadScan

SUBJECT, SESSION, SPLIT = 'participant_id', 'session_id', 'split'
FACTS = ('age', SPLIT, 'pathology', 'domain', *PEOPLE)
"""Columns that are read, beside those of the subject and the session."""

FILES = ('filename', 'image')
"""Columns that name a scan's file, in flat folders."""

OTHER_SEPARATORS = {',': 'commas', ';': 'semicolons', ' ': 'spaces', '|': 'bars'}


def columns(
  header: Sequence[str], path: pathlib.Path, files: bool = False
) -> dict[str, int]:
  """Finds the columns of a table of subjects that are read.

  Args:
    header: Names of the table's columns.
    path: Path of the table, for the error messages.
    files: Whether a column of `FILES` is read too; it may stand for participant_id.

  Returns:
    Name to index of the columns that are read.

  Raises:
    BadScan: The column participant_id is missing, a column occurs twice, a name holds
      several columns (another separator than tabs), or a name is nearly `split`.
  """
  indices = dict(_indices(header, files))
  for name in indices:
    _check_once(name, header, path)
  if len(header) > 1:
    for column in header:
      _check_joined(column, path)
      _check_nearly_split(column, SPLIT in indices, path)
  if SUBJECT in indices or any(name in indices for name in FILES):
    return indices
  for separator, plural in OTHER_SEPARATORS.items():
    names = [n.strip(BLANKS + '"').casefold() for n in header[0].split(separator)]
    if len(names) > 1 and SUBJECT in names:
      raise BadScan(
        f'{path} is separated by {plural}; allowed are tabs (BIDS): save it as text '
        'separated by tabs'
      )
  raise BadScan(
    f"{path} lacks the column '{SUBJECT}'; allowed is a BIDS table, its columns are "
    f'{few(header)}'
  )


def _indices(header: Sequence[str], files: bool) -> Iterator[tuple[str, int]]:
  """Name and index of each column that is read."""
  folded = [name.casefold() for name in header]
  for name in (SUBJECT, SESSION, *FACTS, *(FILES if files else ())):
    if name in header or name in folded:
      yield name, header.index(name) if name in header else folded.index(name)


def _check_once(name: str, header: Sequence[str], path: pathlib.Path) -> None:
  """Refuses a column that occurs twice."""
  alike = [column for column in header if column.casefold() == name]
  if name not in (SUBJECT, SESSION, SPLIT):
    # A name in other letters, such as Age, counts unless the exact name is there too.
    alike = [column for column in alike if column == name] or alike
  if len(alike) > 1:
    if len(set(alike)) > 1:
      raise BadScan(
        f'{path} has the columns {few([repr(column) for column in alike])}; allowed is '
        f"one column '{name}'"
      )
    raise BadScan(f"{path} has {len(alike)} columns '{name}'; allowed is one")


def _check_joined(column: str, path: pathlib.Path) -> None:
  """Refuses a name that holds several columns, such as 'age,split'.

  Words between spaces may be one name, such as 'age at scan': they are refused if two
  of them are names of columns, or if one names the subject, the session or the split.
  """
  known = {SUBJECT, SESSION, *FACTS}
  words = [word.strip(BLANKS + '"') for word in re.split(r'[,;| ]', column.casefold())]
  named = [word for word in words if word in known]
  several = len(named) > 1 or {SUBJECT, SESSION, SPLIT} & set(named)
  if len(words) > 1 and named and (several or re.search('[,;|]', column)):
    raise BadScan(
      f"{path} has a column '{column[:100]}'; allowed are tabs between columns, and "
      f"'{named[0]}' as a column of its own"
    )


def _check_nearly_split(column: str, has_split: bool, path: pathlib.Path) -> None:
  """Refuses a name that is nearly `split`, such as 'splits', which nothing would read.

  Beside a column `split` others may have longer names, such as 'split_2'.
  """
  text = column.casefold()
  if has_split:
    # With a digit, a name is that of another division.
    digits = re.search(r'\d', text)
    words = [] if text == SPLIT or digits else [re.sub(r'[\W_]', '', text)]
  else:
    words = re.split(r'[\W_\d]+', text)
  near = any(difflib.get_close_matches(word, [SPLIT], cutoff=0.8) for word in words)
  if near or (not has_split and SPLIT in text):
    raise BadScan(
      f"{path} has a column '{column[:100]}', which is not read; allowed is the name "
      f"'{SPLIT}' for the column of the splits"
    )
