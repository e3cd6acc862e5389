import numpy as np
import pytest
from scipy import stats

from uad_jax.online import conformal


def test_p_values_equal_a_loop_over_the_definition():
  # Oracle: the counts of the definition, in Python; integers give many ties.
  rng = np.random.default_rng(0)
  calibration = rng.integers(0, 9, 30).astype(float)
  scores = rng.integers(-1, 10, 40).astype(float)
  expected = [(1 + sum(c >= s for c in calibration)) / 31 for s in scores]
  np.testing.assert_array_equal(conformal.p_values(calibration, scores), expected)


@pytest.mark.parametrize('draw', ['normal', 'integers'])
def test_p_values_of_exchangeable_scores_are_super_uniform(draw):
  # Oracle: P(p <= alpha) <= alpha, over fresh calibration sets; with ties as well.
  rng = np.random.default_rng(1)
  sample = (
    rng.normal(size=(4000, 20)) if draw == 'normal' else rng.integers(0, 5, (4000, 20))
  )
  p = np.array([conformal.p_values(row[1:], row[:1])[0] for row in sample])
  for alpha in (0.05, 0.1, 0.3, 0.5, 0.9):
    limit = alpha + 3 * np.sqrt(alpha * (1 - alpha) / p.size)
    assert (p <= alpha).mean() <= limit
  if draw == 'normal':  # n + 1 = 20: exactly uniform on 1/20, ..., 1
    assert (p <= 0.05).mean() == pytest.approx(0.05, abs=0.011)


def test_smoothed_p_values_are_uniform_with_ties():
  # Oracle: Kolmogorov-Smirnov test of scipy against the uniform distribution.
  rng = np.random.default_rng(2)
  sample = rng.integers(0, 4, (3000, 12))
  p = [conformal.smoothed_p_values(row[1:], row[:1], rng)[0] for row in sample]
  assert stats.kstest(p, 'uniform').pvalue > 0.01
  assert min(p) > 0 and max(p) <= 1


def test_smoothed_p_values_repeat_with_the_generator_and_stay_below_the_plain_ones():
  calibration, scores = np.arange(9.0), np.array([-1.0, 3.0, 3.5, 20.0])
  first, again = (
    conformal.smoothed_p_values(calibration, scores, np.random.default_rng(3))
    for _ in range(2)
  )
  np.testing.assert_array_equal(first, again)
  plain = conformal.p_values(calibration, scores)
  assert (first <= plain).all() and (first > plain - 2 / 10).all()


def test_equal_weights_give_the_unweighted_p_values():
  rng = np.random.default_rng(4)
  calibration, scores = rng.integers(0, 9, 30), rng.integers(-1, 10, 40)
  weighted = conformal.weighted_p_values(
    calibration, np.full(30, 0.7), scores, np.full(40, 0.7)
  )
  plain = conformal.p_values(calibration, scores)
  np.testing.assert_allclose(weighted, plain, rtol=1e-12)


def test_whole_weights_count_a_score_so_often():
  # Oracle: the definition with each calibration score repeated by its weight.
  rng = np.random.default_rng(5)
  calibration, weights = rng.normal(size=15), rng.integers(0, 4, 15)
  scores, weight = rng.normal(size=8), 3
  weighted = conformal.weighted_p_values(calibration, weights, scores, np.full(8, 3))
  repeated = np.repeat(calibration, weights)
  expected = [
    ((repeated >= s).sum() + weight) / (repeated.size + weight) for s in scores
  ]
  np.testing.assert_allclose(weighted, expected, rtol=1e-12)


def test_weights_restore_the_level_under_a_known_shift():
  # Oracle: calibration N(0, 1), healthy scans N(1, 1), likelihood ratio exp(x - 1/2).
  rng = np.random.default_rng(6)
  plain, weighted = [], []
  for _ in range(2000):
    calibration, scores = rng.normal(size=100), rng.normal(1, 1, size=1)
    weights, weight = np.exp(calibration), np.exp(scores)
    plain += [conformal.p_values(calibration, scores)[0]]
    weighted += [conformal.weighted_p_values(calibration, weights, scores, weight)[0]]
  assert np.mean(np.array(plain) <= 0.1) > 0.3
  assert np.mean(np.array(weighted) <= 0.1) <= 0.1 + 3 * np.sqrt(0.09 / 2000)


@pytest.mark.parametrize('dtype', [np.float32, np.float64])
@pytest.mark.parametrize('n', [1, 7, 19, 99])
def test_a_score_reaches_the_threshold_where_its_p_value_is_at_most_alpha(n, dtype):
  # The levels j / 100 are fractions k / (n + 1) for n = 19 and n = 99.
  rng = np.random.default_rng(n)
  calibration = rng.normal(size=n).round(1).astype(dtype)
  around = np.nextafter(calibration, dtype(np.inf))
  scores = np.concatenate([calibration, around, rng.normal(size=50).astype(dtype)])
  p = conformal.p_values(calibration, scores)
  for alpha in np.arange(1, 100) / 100:
    limit = conformal.threshold(calibration, float(alpha))
    np.testing.assert_array_equal(scores >= dtype(limit), p <= alpha)
    assert np.isinf(limit) == (round((n + 1) * alpha, 9) < 1)


def test_the_threshold_on_the_largest_component_bounds_the_family_wise_error():
  # Oracle: share of healthy scans in which any of 30 components is marked.
  rng = np.random.default_rng(7)
  marked = 0
  for _ in range(1500):
    calibration = rng.gumbel(size=(40, 30)).max(1)
    marked += rng.gumbel(size=30).max() >= conformal.threshold(calibration, 0.1)
  # floor(0.1 * 41) / 41 is the exact rate.
  assert marked / 1500 == pytest.approx(4 / 41, abs=3 * np.sqrt(0.09 / 1500))


@pytest.mark.parametrize('seed', range(5))
def test_benjamini_hochberg_agrees_with_scipy(seed):
  # Oracle: adjusted p-values of scipy.stats.false_discovery_control.
  rng = np.random.default_rng(seed)
  p = np.concatenate([rng.random(30), rng.random(10) * 5e-3])
  for alpha in (0.05, 0.2):
    expected = stats.false_discovery_control(p) <= alpha
    np.testing.assert_array_equal(conformal.benjamini_hochberg(p, alpha), expected)
    assert expected.any()


def test_benjamini_hochberg_takes_limits_that_are_met_exactly_and_no_weak_p_values():
  assert conformal.benjamini_hochberg([0.1, 0.9, 0.8], 0.3).tolist() == [True, 0, 0]
  assert not conformal.benjamini_hochberg([0.5, 0.9], 0.3).any()


def test_benjamini_hochberg_on_conformal_p_values_holds_the_false_discovery_rate():
  # Oracle: mean false discovery proportion over draws of calibration and batch.
  rng = np.random.default_rng(8)
  proportions, power = [], []
  for _ in range(600):
    scores = np.concatenate([rng.normal(size=30), rng.normal(4, 1, size=10)])
    p = conformal.p_values(rng.normal(size=200), scores)
    anomalous = conformal.benjamini_hochberg(p, 0.2)
    proportions += [anomalous[:30].sum() / max(anomalous.sum(), 1)]
    power += [anomalous[30:].mean()]
  error = np.std(proportions) / np.sqrt(600)
  assert np.mean(proportions) <= 0.2 * 30 / 40 + 3 * error
  assert np.mean(power) > 0.8


@pytest.mark.parametrize(
  'call, sentence',
  [
    (lambda: conformal.p_values([], [1.0]), 'calibration has shape'),
    (lambda: conformal.p_values([1.0], [np.nan]), 'scores holds 1 nan'),
    (lambda: conformal.threshold([1.0], 1.0), 'alpha is 1.0'),
    (lambda: conformal.threshold([np.nan], 0.1), 'calibration holds 1 nan'),
    (lambda: conformal.benjamini_hochberg([0.1], 0.0), 'alpha is 0.0'),
    (lambda: conformal.benjamini_hochberg([0.0], 0.1), 'outside of'),
    (
      lambda: conformal.weighted_p_values([1.0], [1.0, 1.0], [1.0], [1.0]),
      'weights has 2 numbers; there are 1 scores',
    ),
    (
      lambda: conformal.weighted_p_values([1.0], [-1.0], [1.0], [1.0]),
      'negative or infinite',
    ),
    (
      lambda: conformal.weighted_p_values([1.0], [1.0], [1.0], [0.0]),
      'score_weights holds 0',
    ),
  ],
)
def test_bad_input_is_refused_with_a_sentence(call, sentence):
  with pytest.raises(ValueError, match=sentence):
    call()
