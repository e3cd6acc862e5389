import doctest

import numpy as np
import pytest

from uad_jax.online import (
  array_checks,
  guards,
  recurrence,
  voxel_tracking,
)


@pytest.mark.parametrize('module', [array_checks, guards, recurrence, voxel_tracking])
def test_the_examples_of_docstrings(module):
  result = doctest.testmod(module, extraglobs={'np': np})
  assert result.attempted and not result.failed


def test_a_map_becomes_float32_and_vectors_float64():
  assert array_checks.check_map('map', np.ones((2, 2), bool), (2, 2)).dtype == 'float32'
  assert array_checks.check_vectors('v', np.ones((2, 3), int), 3).dtype == 'float64'


def test_arrays_with_infinite_values_are_refused():
  with pytest.raises(ValueError, match='map: 1 of 2 values are NaN or infinite'):
    array_checks.check_map('map', np.array([1.0, np.inf]), (2,))
  with pytest.raises(ValueError, match=r'v have shape \(2,\); allowed is \[N, 3\]'):
    array_checks.check_vectors('v', np.zeros(2), 3)
