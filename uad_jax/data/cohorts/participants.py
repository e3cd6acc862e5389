"""Functions that read participants.tsv, the table of subjects of a BIDS folder.

The table is read as BIDS readers do: tabs between columns, UTF-8 with or without a byte
order mark, any line ends, `n/a` for a missing value, and subjects and sessions with or
without `sub-` and `ses-`.
"""

import contextlib
import os
import pathlib
import re
from collections.abc import Iterator, Mapping, Sequence

from uad_jax.data.cohorts import tab_separated, table_columns
from uad_jax.data.cohorts.entry import Entry
from uad_jax.data.cohorts.people import PERSON, few
from uad_jax.data.cohorts.splits import check_splits
from uad_jax.data.cohorts.tab_separated import BLANKS
from uad_jax.data.cohorts.table_columns import FILES, SESSION, SUBJECT
from uad_jax.data.preprocessing.nifti import BadScan

MISSING = ('', 'n/a', 'na', 'nan', 'null')
"""Texts, in small letters, that stand for a missing value."""

SPLITS = {name: name for name in ('train', 'val', 'test', 'few_shot', 'val_lesion')} | {
  'training': 'train',
  'validation': 'val',
  'testing': 'test',
}
"""Names of splits in small letters, in which they may be written, to our names."""

Table = dict[tuple[str, str], dict[str, str]]
"""Mapping from (subject, session) to the known facts, a mapping from column to text."""


def subject_id(text: str) -> str:
  """Returns the name of a subject with one `sub-` in front and no spaces about it.

  >>> subject_id(' 01 '), subject_id('sub-01')
  ('sub-01', 'sub-01')
  """
  return 'sub-' + text.strip(BLANKS).removeprefix('sub-')


def session_id(text: str) -> str:
  """Returns the name of a session with one `ses-` in front; '' for no session."""
  text = text.strip(BLANKS)
  return f'ses-{text.removeprefix("ses-")}' if text else ''


def read_table(
  path: pathlib.Path, scans: Mapping[str, tuple[str, str]] | None = None
) -> Table:
  """Reads participants.tsv, the table of subjects of a folder.

  Names of splits in other letters, and training, validation and testing, are read as
  those of `SPLITS`.

  Args:
    path: The tab-separated file; it may be absent.
    scans: Mapping from the name of a file, as the column filename or image may have it,
      to subject and session; a row that names a file is of that scan. None reads no
      such column.

  Returns:
    Mapping from (subject, session) to a row: a mapping from column name to text,
    without missing values. Subjects begin with `sub-`, sessions with `ses-`; the
    session is '' if the table names none. {} if the file is absent.

  Raises:
    BadScan: The file is empty or no tab-separated UTF-8 text, lacks the column
      participant_id, has columns that are nearly those that are read, names no
      subject, or has rows that disagree; or a subject is in two splits.
  """
  if not os.path.lexists(path) or path.is_dir():
    return {}
  (_, header), *rows = tab_separated.rows(path)
  facts = [row for row in _facts(header, rows, path, scans) if row[0][0]]
  check_splits(((key[0], f['split']) for key, f in facts if 'split' in f), str(path))
  table = {}
  for key, known in facts:
    _add(table, key, known, path)
  if not table:
    raise BadScan(
      f'{path} names no subject; allowed is a row a subject (or no such file)'
    )
  return table


def row_of(table: Table, entry: Entry) -> dict[str, str]:
  """Returns the values that the table of subjects has for a scan, by column name.

  The row of the subject and the row of the session are merged; the session's values
  take precedence. A scan without a session takes the row of its subject, even if that
  row names a session, provided that it is the only one.

  Args:
    table: Table of subjects, as `read_table` returns it.
    entry: The scan; its subject may lack the `sub-`, its session the `ses-`.
  """
  subject, session = subject_id(entry.subject), session_id(entry.session)
  facts = table.get((subject, ''), {})
  if session or facts:
    return {**facts, **table.get((subject, session), {})}
  rows = [row for key, row in table.items() if key[0] == subject]
  return rows[0] if len(rows) == 1 else {}


def row_of_file(table: Table, entry: Entry) -> dict[str, str]:
  """Returns the row of a scan in a flat folder, with its participant as 'person'.

  A scan without a row is one of the participant whose name its subject begins with, up
  to a dot, underscore or hyphen: P01_v1 and P01_v2 are scans of P01.

  Args:
    table: Table of subjects, as `read_table` returns it.
    entry: The scan; its subject is named after the file.
  """
  facts, listed = row_of(table, entry), {subject for subject, _ in table}
  ends = [match.start() for match in re.finditer(r'[._-]', entry.subject)]
  for end in (len(entry.subject), *reversed(ends)):
    person = subject_id(entry.subject[:end])
    if person in listed:
      facts = facts or row_of(table, entry._replace(subject=person))
      return {PERSON: person, **facts}
  return facts


def unmatched(table: Table, entries: Sequence[Entry], path: pathlib.Path) -> list[str]:
  """Compares the subjects of a table with those of the folder.

  Args:
    table: Table of subjects; {} for none, which is compared with nothing.
    entries: Scans of the folder.
    path: Path of the table, for messages.

  Returns:
    Sentences about the subjects that only the table or only the folder has.

  Raises:
    BadScan: The table names none of the folder's subjects.
  """
  if not table:
    return []
  scanned = sorted({entry.subject for entry in entries})
  listed = {subject for subject, _ in table}
  known = {subject_id(name) for name in scanned} | {e.person for e in entries}
  if not listed & known:
    raise BadScan(
      f'{path} names no subject of the folder: it names {few(sorted(listed))}, the '
      f'folder has {few(scanned)}; allowed are the names of the folder, with or '
      'without sub-'
    )
  more = [name for name in sorted(listed) if name not in known]
  named = {entry.subject for entry in entries if entry.person in listed}
  rest = [n for n in scanned if subject_id(n) not in listed and n not in named]
  return [
    *([f'{path} names subjects without a scan: {few(more)}'] if more else []),
    *([f'{path} lacks subjects that have scans: {few(rest)}'] if rest else []),
  ]


def other_tables(path: pathlib.Path) -> list[str]:
  """Warns of tables such as participants.csv, which are not read.

  Args:
    path: Path of participants.tsv; files of its folder with the same stem and another
      suffix (.csv, .txt, .xlsx, ...) are reported.

  Returns:
    One message for each such file; [] if participants.tsv exists.

  Raises:
    BadScan: Such a file is a text table with the column split.
  """
  if os.path.lexists(path) or not path.parent.is_dir():
    return []
  sentences = []
  for other in sorted(path.parent.glob(f'[{path.stem[0]}{path.stem[0].upper()}]*')):
    name = other.name.casefold()
    kinds = rf'{re.escape(path.stem)}\.(tsv|csv|txt|xlsx?|ods)(\..*)?'
    if not re.fullmatch(kinds, name) or not other.is_file():
      continue
    sentence = f'{other} is not read; allowed is {path.name}, separated by tabs'
    header = ''
    with contextlib.suppress(OSError), other.open('rb') as file:
      header = file.readline(100_000).decode(errors='replace').casefold()
    if re.search(r'\bsplit\b', header):
      raise BadScan(f'{other} names splits and {sentence.removeprefix(f"{other} ")}')
    sentences.append(sentence)
  return sentences


def _facts(
  header, rows, path, scans
) -> Iterator[tuple[tuple[str, str], dict[str, str]]]:
  """(subject, session) and known facts of each row; the subject may be ''."""
  columns = table_columns.columns(header, path, files=scans is not None)
  people = []
  for line, cells in rows:
    if any(cells[len(header) :]):
      raise BadScan(
        f'{path} has {len(cells)} cells in line {line} and {len(header)} columns; '
        'allowed are as many cells as columns'
      )
    values = {n: cells[i] for n, i in columns.items() if i < len(cells)}
    known = {n: v for n, v in values.items() if v.casefold() not in MISSING}
    if known.get('pathology', '').casefold() == 'none':
      known['pathology'] = 'none'
    if 'split' in known:
      known['split'] = SPLITS.get(known['split'].casefold(), known['split'])
    subject, session = known.pop(SUBJECT, ''), known.pop(SESSION, '')
    if subject and 'split' in known:
      people.append((subject_id(subject), known['split']))
    for file in [known.pop(name) for name in FILES if name in known]:
      if subject and file in (scans or {}):
        known[PERSON] = subject_id(subject)
      subject, session = (scans or {}).get(file, (subject or file, session))
    if 'split' in known and not subject:
      raise BadScan(
        f'{path} has a split and no {SUBJECT} in line {line}; allowed are rows with '
        'both'
      )
    yield (subject_id(subject) if subject else '', session_id(session)), known
  check_splits(people, str(path))


def _add(table: Table, key: tuple[str, str], facts: dict[str, str], path) -> None:
  """Adds a row to the table; another row of the same scan must agree with it."""
  earlier = table.setdefault(key, {})
  for name, value in facts.items():
    if earlier.setdefault(name, value) != value:
      raise BadScan(
        f'{path} has rows of {" ".join(filter(None, key))} with {name} '
        f"'{earlier[name]}' and '{value}'; allowed is one row, or rows that agree"
      )
