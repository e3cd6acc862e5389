"""Functions that format evaluation results as tables, in plain text and in Markdown."""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

MISSING = '–'


class Column(NamedTuple):
  """Column of a results table: its heading, and the metric that it shows.

  Attributes:
    title: Heading.
    section: Section of results.json: 'pooled' (by scorer), 'restoration' or
      'registration'.
    metric: Name of the metric in that section.
    better: 'high' if high values are better, 'low' if low values are, '' if neither.
  """

  title: str
  section: str  # 'pooled' of the scorer, 'restoration' or 'registration'
  metric: str
  better: str  # 'high', 'low', or '' where neither is


COLUMNS = (
  Column('AUPRC', 'pooled', 'auprc', 'high'),
  Column('oracle Dice', 'pooled', 'oracle_dice', 'high'),
  Column('Dice @5% FPR', 'pooled', 'dice_at_5', 'high'),
  Column('healthy FPR', 'pooled', 'healthy_fpr_at_5', ''),
  Column('image AUROC', 'pooled', 'image_auroc_q99', 'high'),
  Column('lesion copied', 'restoration', 'lesion_copied', 'low'),
  Column('healthy error', 'restoration', 'healthy_error', 'low'),
  Column('ventricle Dice', 'registration', 'ventricle_dice', 'high'),
  Column('DLR', 'registration', 'dlr', 'low'),
  Column('CFE', 'registration', 'cfe', 'low'),
)

Estimate = Mapping
"""{'value': v, 'interval': [low, high]} with None where undefined."""


class Row(NamedTuple):
  """Row of a results table: the estimates of one scorer.

  Attributes:
    name: Name of the scorer, or 'variant: scorer'.
    estimates: Estimates by title of the column.
    default: Whether it is the scorer of the default anomaly map.
  """

  name: str
  estimates: dict[str, Estimate]
  default: bool = False


def estimates(summary: Mapping, scorer: str) -> dict[str, Estimate]:
  """Selects the estimates of one scorer from results.json, for the results table.

  Args:
    summary: Content of results.json.
    scorer: Name of the scorer.

  Returns:
    Estimates by title of the column; those that results.json lacks are left out.
  """
  sections = {**summary, **summary['scorers'][scorer]}
  return {
    column.title: sections[column.section][column.metric]
    for column in COLUMNS
    if column.metric in sections.get(column.section, ())
  }


def rows(summary: Mapping) -> list[Row]:
  """Builds the rows of a results table, one for each scorer in results.json.

  Args:
    summary: Content of results.json.
  """
  return [
    Row(name, estimates(summary, name), name == summary['default'])
    for name in summary['scorers']
  ]


def changed(variant: Mapping, main: Mapping, name: str) -> list[Row]:
  """Builds the table rows of a variant, for the scorers whose results it changes.

  A variant evaluates the trained networks of the run with other inference settings. It
  changes results if any pooled metric differs from that of the run without variant.

  Args:
    variant: Content of the variant's results.json.
    main: Content of the run's results.json, without variant.
    name: Name of the variant, put before the scorer's.
  """
  return [
    Row(f'{name}: {row.name}', row.estimates)
    for row in rows(variant)
    if variant['scorers'][row.name]['pooled'] != main['scorers'][row.name]['pooled']
  ]


def number(value: float | None) -> str:
  """Formats a number with three decimals, a small number with two significant digits.

  Small numbers are below 0.005 and not 0; None gives a dash.
  """
  if value is None:
    return MISSING
  return f'{value:.3f}' if value == 0 or abs(value) >= 5e-3 else f'{value:.2g}'


def bounds(estimate: Estimate) -> str:
  """Formats the interval of an estimate as '[low, high]'; '' if it is undefined."""
  low, high = estimate['interval']
  return '' if low is None else f'[{number(low)}, {number(high)}]'


def cell(estimate: Estimate | None, interval: bool) -> str:
  """Formats an estimate for a table, with its interval, such as '0.313 [0.250, 0.380]'.

  If `interval` is False, the interval is left out; a missing estimate gives a dash.
  """
  if estimate is None or estimate['value'] is None:
    return MISSING
  parts = [number(estimate['value']), bounds(estimate) if interval else '']
  return ' '.join(part for part in parts if part)


def shown_columns(table: Sequence[Row]) -> list[Column]:
  """Returns the columns of a results table in which at least one row has a value."""

  def known(row, title):
    return row.estimates.get(title, {'value': None})['value'] is not None

  return [c for c in COLUMNS if any(known(row, c.title) for row in table)]


def cells(table: Sequence[Row], intervals: Collection[str]) -> list[list[str]]:
  """Formats a results table as lists of strings, starting with the column headings.

  Args:
    table: Rows of the table.
    intervals: Titles of the columns that show intervals.
  """
  columns = shown_columns(table)
  body = [
    [f'{row.name} *' if row.default else row.name]
    + [cell(row.estimates.get(c.title), c.title in intervals) for c in columns]
    for row in table
  ]
  return [['map', *(column.title for column in columns)], *body]


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
  """Formats column headings and rows of cells, all strings, as a Markdown table."""
  rule = '|' + '---|' * len(head)
  lines = [f'| {" | ".join(cells)} |' for cells in (head, *rows)]
  return '\n'.join([lines[0], rule, *lines[1:]])


def text(table: Sequence[Row], intervals: Collection[str] = ('AUPRC',)) -> str:
  """Formats a results table as plain text with aligned columns, for the terminal.

  An asterisk marks the default scorer.

  Args:
    table: Rows of the table.
    intervals: Titles of the columns that show intervals.
  """
  lines = cells(table, intervals)
  widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
  padded = [
    '  '.join(
      [line[0].ljust(widths[0])]
      + [x.rjust(width) for x, width in zip(line[1:], widths[1:], strict=True)]
    )
    for line in lines
  ]
  rule = '  '.join('─' * width for width in widths)
  return '\n'.join([padded[0], rule, *padded[1:]])
