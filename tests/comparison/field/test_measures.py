"""Intervals for few subjects, and p-values that are adjusted for their number."""

import numpy as np
import pytest
from scipy import stats

from uad_jax.comparison.field.measures import expanded, holm


def test_the_expanded_interval_of_a_mean_is_that_of_the_t_distribution():
  random = np.random.default_rng(1)
  values = random.normal(0.5, 1.0, 12)
  draws = values[random.integers(12, size=(20000, 12))].mean(1)
  interval, p = expanded(values.mean(), draws, 12)
  low, high = stats.t.interval(0.95, 11, values.mean(), stats.sem(values))
  assert interval.low == pytest.approx(low, abs=0.08)
  assert interval.high == pytest.approx(high, abs=0.08)
  assert p == pytest.approx(stats.ttest_1samp(values, 0).pvalue, abs=0.03)


def test_it_covers_the_truth_where_plain_percentiles_do_not():
  random = np.random.default_rng(0)
  inside = dict.fromkeys(('plain', 'expanded'), 0)
  for _ in range(400):
    values = random.normal(0, 1, 8)
    draws = values[random.integers(8, size=(500, 8))].mean(1)
    interval, _ = expanded(values.mean(), draws, 8)
    low, high = np.percentile(draws, [2.5, 97.5])
    inside['plain'] += low <= 0 <= high
    inside['expanded'] += interval.low <= 0 <= interval.high
  assert inside['plain'] / 400 < 0.92 < inside['expanded'] / 400


def test_holm_keeps_the_order_and_the_single_value():
  assert holm([0.04]) == [0.04]
  p = np.array([0.001, 0.2, 0.01, 0.04])
  adjusted = holm(p)
  assert adjusted == pytest.approx([0.004, 0.2, 0.03, 0.08])
