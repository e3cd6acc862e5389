"""Functions that read tab-separated text tables (TSV)."""

import csv
import io
import pathlib

from uad_jax.data.preprocessing.nifti import BadScan

BLANKS = '\ufeff\u200b \t\r\n\xa0'
"""Characters that are removed at both ends of a cell."""


def rows(path: pathlib.Path) -> list[tuple[int, list[str]]]:
  """Reads the rows of a tab-separated text file (TSV).

  Args:
    path: File in UTF-8, with or without a byte order mark, or in UTF-16 with one. Line
      ends can be of any system, and cells can be in double quotes.

  Returns:
    Pairs (line number, cells), one for each row that is not blank, the header first.
    Spaces around the cells are removed. There is at least one row.

  Raises:
    BadScan: The file cannot be read, is not in these encodings, is blank, or has a
      quotation mark that is not closed.
  """
  text = _text(path)
  reader = csv.reader(io.StringIO(text, newline=''), delimiter='\t')
  table = []
  try:
    for row in reader:
      if any('\n' in cell and '\t' in cell for cell in row):
        raise BadScan(
          f'{path} has a quotation mark (") without its second before line '
          f'{reader.line_num}; allowed are pairs'
        )
      cells = [' '.join(cell.strip(BLANKS).splitlines()) for cell in row]
      if any(cells):
        table.append((reader.line_num, cells))
  except csv.Error as error:
    raise BadScan(f'{path} is no table, line {reader.line_num}: {error}') from error
  if not table:
    raise BadScan(
      f'{path} is empty; allowed is a table separated by tabs (or no such file)'
    )
  return table


def _text(path: pathlib.Path) -> str:
  """The text of a table, of UTF-8 or of UTF-16 with a byte order mark."""
  try:
    content = path.read_bytes()
  except OSError as error:
    raise BadScan(
      f'{path} cannot be read: {error.strerror}; allowed is a file that may be read'
    ) from error
  utf16 = content[:2] in (b'\xff\xfe', b'\xfe\xff')
  try:
    text = content.decode('utf-16' if utf16 else 'utf-8-sig')
  except UnicodeDecodeError as error:
    line = content[: error.start].count(b'\n') + 1
    raise BadScan(
      f'{path} is no UTF-8 text in line {line}; save it as text in UTF-8'
    ) from error
  if '\0' in text:
    raise BadScan(f'{path} holds zero bytes; allowed is text in UTF-8')
  return text
