"""Functions that check arrays of a scan and raise errors that name what is allowed."""

from collections.abc import Sequence

import numpy as np


def check_map(name: str, values: np.ndarray, shape: Sequence[int]) -> np.ndarray:
  """Checks that a map lies on the expected grid and is finite; returns it as float32.

  >>> check_map('residual', np.zeros((4, 5)), (4, 4))
  Traceback (most recent call last):
  ValueError: residual has shape (4, 5); allowed is (4, 4)

  Args:
    name: Name of the map, for the error message.
    values: Map of any real type.
    shape: Expected shape.

  Returns:
    The map, float32.

  Raises:
    ValueError: The map has another shape or holds NaN or infinite values.
  """
  values = np.asarray(values)
  if values.shape != tuple(shape):
    raise ValueError(f'{name} has shape {values.shape}; allowed is {tuple(shape)}')
  values = values.astype(np.float32, copy=False)
  check_finite(name, values)
  return values


def check_vectors(name: str, vectors: np.ndarray, features: int) -> np.ndarray:
  """Checks that vectors [N, F] have F features and are finite; returns float64.

  Args:
    name: Name of the vectors, for the error message.
    vectors: Vectors [N, F].
    features: Expected F.

  Returns:
    The vectors, float64.

  Raises:
    ValueError: They have another shape or hold NaN or infinite values.
  """
  vectors = np.asarray(vectors, np.float64)
  if vectors.ndim != 2 or vectors.shape[1] != features:
    raise ValueError(f'{name} have shape {vectors.shape}; allowed is [N, {features}]')
  check_finite(name, vectors)
  return vectors


def check_finite(name: str, values: np.ndarray) -> None:
  """Checks that an array holds finite numbers only.

  Args:
    name: Name of the array, for the error message.
    values: Array of any shape.

  Raises:
    ValueError: Some values are NaN or infinite; the message says how many.
  """
  broken = values.size - int(np.isfinite(values).sum())
  if broken:
    raise ValueError(
      f'{name}: {broken} of {values.size} values are NaN or infinite; '
      'allowed are finite numbers'
    )
