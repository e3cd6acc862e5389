"""Functions that check levels, scores and p-values of a stream before they are used."""

import math
import numbers
from typing import Any

import numpy as np

from uad_jax.ops.limits import check_number


def check_level(key: str, value: Any) -> None:
  """Checks that a probability, such as an error rate, lies strictly between 0 and 1.

  >>> check_level('alpha', 1.0)
  Traceback (most recent call last):
  ValueError: alpha is 1.0; allowed is a number above 0 and below 1

  Args:
    key: Name of the option, for the error message.
    value: Value of the option.

  Raises:
    ValueError: The value is not a number, or not between 0 and 1.
  """
  number = isinstance(value, numbers.Real) and not isinstance(value, bool)
  if not number or not 0 < value < 1:
    raise ValueError(f'{key} is {value}; allowed is a number above 0 and below 1')


def check_p_value(key: str, value: Any) -> None:
  """Checks that a p-value is a number above 0 and at most 1.

  Args:
    key: Name of the p-value, for the error message.
    value: The p-value.

  Raises:
    ValueError: The value is not a number, or outside (0, 1].
  """
  check_number(key, value, 0, 1, above=True)


def check_score(key: str, value: Any) -> float:
  """Returns a score as a float; it must be one number and not nan.

  Infinite scores pass, since ranks need only their order.

  Args:
    key: Name of the score, for the error message.
    value: The score.

  Raises:
    ValueError: The value is not a number, or nan.
  """
  number = isinstance(value, numbers.Real) and not isinstance(value, bool)
  if not number or math.isnan(value):
    raise ValueError(f'{key} is {value}; allowed is a number other than nan')
  return float(value)


def check_scores(key: str, values: Any) -> np.ndarray:
  """Returns a list of scores as an array [n]; it must hold numbers and no nan.

  >>> check_scores('calibration', [])
  Traceback (most recent call last):
  ValueError: calibration has shape (0,); allowed is a list of one or more numbers

  Args:
    key: Name of the scores, for the error message.
    values: Scores [n]; infinite ones pass.

  Returns:
    Scores [n]; float32 stays float32, other numbers become float64.

  Raises:
    ValueError: The list is empty, has more than one axis, or holds nan or text.
  """
  array = np.asarray(values)
  if array.dtype.kind not in 'iuf':
    raise ValueError(f'{key} holds {array.dtype}; allowed is a list of numbers')
  if array.ndim != 1 or array.size == 0:
    raise ValueError(
      f'{key} has shape {array.shape}; allowed is a list of one or more numbers'
    )
  if (missing := int(np.isnan(array).sum())) > 0:
    raise ValueError(f'{key} holds {missing} nan; allowed are numbers other than nan')
  return array if array.dtype == np.float32 else array.astype(np.float64)
