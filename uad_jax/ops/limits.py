"""Functions that check numeric options and raise errors that name the allowed range."""

import math
import numbers
from collections.abc import Sequence
from typing import Any


def check_number(
  key: str,
  value: Any,
  low: float = -math.inf,
  high: float = math.inf,
  *,
  above: bool = False,
) -> None:
  """Checks that an option is a finite number within limits.

  >>> check_number('clip', -1.0, 0)
  Traceback (most recent call last):
  ValueError: clip is -1.0; allowed is a number of 0 or more

  Args:
    key: Name of the option, for the error message.
    value: Value of the option.
    low: Smallest allowed number.
    high: Largest allowed number.
    above: Whether the value must be above `low`, not equal to it.

  Raises:
    ValueError: The value is not a number, not finite, or outside the limits.
  """
  right = isinstance(value, numbers.Real) and not isinstance(value, bool)
  right = right and math.isfinite(value) and low <= value <= high
  if not right or (above and value == low):
    raise ValueError(
      f'{key} is {value}; allowed is a number{_limits(low, high, above)}'
    )


def check_whole(
  key: str, value: Any, low: float = -math.inf, high: float = math.inf
) -> None:
  """Checks that an option is a whole number within limits.

  >>> check_whole('batch_size', 0, 1)
  Traceback (most recent call last):
  ValueError: batch_size is 0; allowed is a whole number of 1 or more

  Args:
    key: Name of the option, for the error message.
    value: Value of the option.
    low: Smallest allowed number.
    high: Largest allowed number.

  Raises:
    ValueError: The value is not a whole number, or outside the limits.
  """
  right = isinstance(value, numbers.Integral) and not isinstance(value, bool)
  if not right or not low <= value <= high:
    limits = _limits(low, high, False)
    raise ValueError(f'{key} is {value}; allowed is a whole number{limits}')


def check_sizes(key: str, value: Any, counts: Sequence[int], low: int = 1) -> None:
  """Checks that an option is a list of whole numbers, such as a shape in voxels.

  >>> check_sizes('shape', (64, 64.5), (2, 3))
  Traceback (most recent call last):
  ValueError: shape is (64, 64.5); allowed are 2 or 3 whole numbers of 1 or more

  Args:
    key: Name of the option, for the error message.
    value: Value of the option.
    counts: Allowed lengths of the list; () allows any.
    low: Smallest allowed number in the list.

  Raises:
    ValueError: The value is not a list of such numbers, or has another length.
  """
  right = isinstance(value, list | tuple) and (not counts or len(value) in counts)
  try:
    for size in value if right else ():
      check_whole(key, size, low)
  except ValueError:
    right = False
  if not right:
    number = ' or '.join(str(count) for count in counts)
    shown = tuple(value) if isinstance(value, list) else value
    raise ValueError(
      f'{key} is {shown}; allowed are {number + " " if number else ""}whole numbers '
      f'of {low} or more'
    )


def _limits(low: float, high: float, above: bool) -> str:
  """Words for limits: ' of 1 or more', ' above 0', ' from 0 to 1'."""
  if math.isfinite(high):
    return f' from {low:g} to {high:g}' + (f', {low:g} excluded' if above else '')
  if math.isfinite(low):
    return f' above {low:g}' if above else f' of {low:g} or more'
  return ''
