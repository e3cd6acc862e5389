"""Functions that check a name given by a user against the names that are allowed."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

T = TypeVar('T')

LONGEST = 300
"""Characters of the longest list in an error."""


def alternatives(name: str, names: Sequence[str]) -> str:
  """Lists names for an error about one that is not among them.

  Of many names those like it are listed, and the number of the others.

  Examples:
    >>> alternatives('up', ('bright', 'dark'))
    'bright, dark'
  """
  listed = ', '.join(names)
  if len(listed) <= LONGEST:
    return listed
  near = difflib.get_close_matches(str(name), names, 5, 0.4) or names[:5]
  return f'{", ".join(near)} and {len(names) - len(near)} others'


def check_choice(what: str, name: str, allowed: Iterable[str], where: str = '') -> None:
  """Checks that a name is one of the allowed names; if not, an error lists them.

  >>> check_choice('sign', 'up', ('bright', 'dark'), 'residual')
  Traceback (most recent call last):
  ValueError: residual: unknown sign 'up'; there are bright, dark

  Args:
    what: Kind of name, for the error message, such as 'method' or 'bottleneck'.
    name: Name that the user gave.
    allowed: Allowed names, in the order in which the error message lists them.
    where: Method, scorer or preset that the name was given to, for the error message;
      '' for none.

  Raises:
    ValueError: The name is not allowed; the message lists allowed names.
  """
  if name not in (names := list(allowed)):
    prefix = f'{where}: ' if where else ''
    raise ValueError(
      f"{prefix}unknown {what} '{name}'; there are {alternatives(name, names)}"
    )


def choose(what: str, name: str, table: Mapping[str, T], where: str = '') -> T:
  """Returns the entry `name` of `table`, or raises a ValueError if there is none.

  The arguments and errors are those of `check_choice`; the keys of the table are the
  allowed names.

  >>> choose('sign', 'dark', {'bright': 1, 'dark': -1})
  -1
  """
  check_choice(what, name, table, where)
  return table[name]
