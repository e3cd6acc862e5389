import numpy as np
import pytest

from uad_jax.online.score_checks import (
  check_level,
  check_p_value,
  check_score,
  check_scores,
)


@pytest.mark.parametrize('value', [0, 1, -0.1, 1.5, float('nan'), '0.1', True, None])
def test_a_level_lies_strictly_between_0_and_1(value):
  with pytest.raises(ValueError, match='alpha is .*; allowed is a number above 0 and'):
    check_level('alpha', value)
  check_level('alpha', np.float32(0.5))


@pytest.mark.parametrize('value', [0, -0.1, 1.1, float('nan'), 'p'])
def test_a_p_value_lies_above_0_and_reaches_1(value):
  with pytest.raises(ValueError, match='p is .*; allowed is a number from 0 to 1'):
    check_p_value('p', value)
  check_p_value('p', 1)


@pytest.mark.parametrize('value', [float('nan'), 'high', None, np.zeros(2)])
def test_a_score_is_one_number(value):
  with pytest.raises(ValueError, match='allowed is a number other than nan'):
    check_score('score', value)
  assert check_score('score', np.float32(np.inf)) == float('inf')


@pytest.mark.parametrize(
  'values, sentence',
  [
    ([], 'one or more numbers'),
    (np.zeros((2, 2)), r'shape \(2, 2\); allowed is a list'),
    (3.0, r'shape \(\); allowed is a list'),
    ([1.0, float('nan')], 'holds 1 nan'),
    (['a'], 'allowed is a list of numbers'),
    ([True], 'allowed is a list of numbers'),
  ],
)
def test_scores_are_a_list_of_numbers(values, sentence):
  with pytest.raises(ValueError, match=sentence):
    check_scores('calibration', values)


def test_scores_keep_float32_and_become_float64_otherwise():
  assert check_scores('s', np.ones(2, np.float32)).dtype == np.float32
  assert check_scores('s', [1, 2]).dtype == np.float64
