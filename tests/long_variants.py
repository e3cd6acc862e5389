"""Marks variants of parametrized tests as slow: the suite does one of each kind.

`launch/test.sh -m slow` does the others.
"""

from collections.abc import Iterable

import pytest


def all_but(values: Iterable, usual: Iterable) -> list:
  """Returns the values, marked as slow unless they are among the usual ones."""
  usual = tuple(usual)
  return [
    value if value in usual else pytest.param(value, marks=pytest.mark.slow)
    for value in values
  ]
