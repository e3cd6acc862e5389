"""Functions that check the form of the JSON files of a run folder.

A file that was edited or exchanged can be valid JSON and hold something else.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple


class Entry(NamedTuple):
  """Entry that a file must have.

  Attributes:
    key: Dotted key, such as 'method.name'.
    allowed: Words for the allowed values.
    fits: Function that returns whether a value is one of them.
  """

  key: str
  allowed: str
  fits: Callable[[Any], bool]


def _text(key: str) -> Entry:
  return Entry(key, 'text', lambda value: isinstance(value, str))


def _number(key: str) -> Entry:
  return Entry(key, 'a whole number', _is_whole)


def _object(key: str) -> Entry:
  return Entry(key, 'an object', lambda value: isinstance(value, dict))


def _is_whole(value: Any) -> bool:
  return isinstance(value, int) and not isinstance(value, bool)


def _are_sizes(value: Any) -> bool:
  return (
    isinstance(value, list)
    and len(value) in (2, 3)
    and all(_is_whole(n) and n > 0 for n in value)
  )


def _are_steps(value: Any) -> bool:
  return isinstance(value, list) and all(
    isinstance(step, list)
    and len(step) == 2
    and isinstance(step[0], str)
    and isinstance(step[1], dict)
    for step in value
  )


def _are_maps(value: Any) -> bool:
  return isinstance(value, dict) and all(
    isinstance(entry, dict)
    and isinstance(entry.get('thresholds'), dict)
    and all(isinstance(n, int | float) for n in entry['thresholds'].values())
    for entry in value.values()
  )


FORMS: Mapping[str, tuple[Entry, ...]] = {
  'config.json': (
    _text('method.name'),
    _object('data'),
    _object('scores'),
    _object('optimiser'),
    _number('batch_size'),
    _number('seed'),
    Entry('steps', 'a list', lambda value: isinstance(value, list)),
  ),
  'model.json': (
    Entry('shape', '2 or 3 sizes above 0', _are_sizes),
    _number('channels'),
    Entry('steps', 'a list of names and options', _are_steps),
  ),
  'results.json': (_text('schema'), _object('run.config')),
}
"""Entries of the files of a run folder, by file name."""

USED: Mapping[str, tuple[Entry, ...]] = {
  'results.json': (
    _text('default'),
    _text('protocol.postprocess'),
    Entry('scorers', 'anomaly maps with thresholds', _are_maps),
  ),
}
"""Further entries, of files whose run is used for prediction or evaluation."""


def fault(content: Mapping[str, Any], entries: tuple[Entry, ...]) -> str:
  """Describes the first entry that a file lacks or that has another form.

  Args:
    content: Content of the file.
    entries: Entries that it must have.

  Returns:
    Clause for a message; '' if all entries are right.
  """
  for entry in entries:
    value: Any = content
    for name in entry.key.split('.'):
      if not isinstance(value, Mapping) or name not in value:
        return f"it has no entry '{entry.key}'"
      value = value[name]
    if not entry.fits(value):
      return f"its entry '{entry.key}' is not {entry.allowed}"
  return ''
