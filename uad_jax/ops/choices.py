"""One sentence for a name that is not among those allowed."""

from collections.abc import Iterable, Mapping
from typing import TypeVar

T = TypeVar('T')


def check_choice(what: str, name: str, allowed: Iterable[str], where: str = '') -> None:
  """Raises unless `name` is one of the allowed names.

  >>> check_choice('sign', 'up', ('bright', 'dark'), 'residual')
  Traceback (most recent call last):
  ValueError: residual: unknown sign 'up'; there are bright, dark

  Args:
    what: Kind of name, as the sentence shall call it: 'method', 'bottleneck'.
    name: Name that a person gave.
    allowed: Allowed names, in the order of the sentence.
    where: Method, scorer or preset that was given the name; '' for none.

  Raises:
    ValueError: The name is not allowed; the sentence lists those that are.
  """
  if name not in (names := list(allowed)):
    prefix = f'{where}: ' if where else ''
    raise ValueError(f"{prefix}unknown {what} '{name}'; there are {', '.join(names)}")


def choose(what: str, name: str, table: Mapping[str, T], where: str = '') -> T:
  """Entry of a table by its name; arguments and errors as in `check_choice`.

  >>> choose('sign', 'dark', {'bright': 1, 'dark': -1})
  -1
  """
  check_choice(what, name, table, where)
  return table[name]
