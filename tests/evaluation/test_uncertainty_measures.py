"""Measures and calibrations of predicted deviations, on errors of a known law."""

import numpy as np
import pytest
from scipy import integrate, stats
from sklearn.isotonic import IsotonicRegression

from uad_jax.evaluation import uncertainty_calibration as calibration
from uad_jax.evaluation import uncertainty_measures as measures

N = 60_000


def simulated(factor=1.0, seed=0):
  """Normal errors of known deviations, which are predicted too small by `factor`."""
  rng = np.random.default_rng(seed)
  deviation = np.exp(rng.uniform(-3, 0, N))
  error = deviation * rng.standard_normal(N)
  return error, deviation / factor, (deviation > 0.3).astype(int)


def test_calibrated_normal_errors_have_no_calibration_error():
  error, deviation, _ = simulated()
  assert measures.ence(error, deviation) < 0.02
  assert measures.coverage_error(error, deviation) < 0.005
  np.testing.assert_allclose(
    measures.coverage(error, deviation), measures.LEVELS, atol=0.01
  )


@pytest.mark.parametrize('factor', [0.5, 2.0])
def test_deviations_off_by_a_factor_have_the_calibration_error_of_it(factor):
  error, deviation, _ = simulated(factor)
  assert measures.ence(error, deviation) == pytest.approx(abs(1 - factor), rel=0.05)
  widths = stats.norm.ppf((1 + measures.LEVELS) / 2) / factor
  want = np.mean(np.abs(2 * stats.norm.cdf(widths) - 1 - measures.LEVELS))
  assert measures.coverage_error(error, deviation) == pytest.approx(want, abs=0.005)


def test_the_oracle_has_no_sparsification_error_and_chance_no_gain():
  error, _, _ = simulated()
  assert measures.ause(error, np.abs(error)) == 0.0
  assert measures.rank(error, np.abs(error)) == pytest.approx(1.0)
  chance = np.random.default_rng(1).uniform(size=N)
  assert measures.aurg(error, chance) == pytest.approx(0.0, abs=0.01)
  assert measures.rank(error, chance) == pytest.approx(0.0, abs=0.02)
  assert measures.aurg(error, -np.abs(error)) < 0
  # A constant uncertainty is worth what chance is.
  assert measures.aurg(error, np.ones(N)) == pytest.approx(0.0, abs=1e-9)
  assert np.isnan(measures.rank(error, np.ones(N)))


def test_sparsification_of_uniform_errors_is_the_closed_form():
  error = np.random.default_rng(2).uniform(0, 1, N)
  curve = measures.sparsification(error, error)
  shares = np.arange(measures.STEPS) / measures.STEPS
  np.testing.assert_allclose(curve, 1 - shares, atol=0.01)  # the mean of U(0, 1 - q)
  area = integrate.quad(lambda share: share, 0, 1)[0]
  assert measures.aurg(error, error) == pytest.approx(area, abs=0.02)


def test_an_informed_deviation_lies_between_chance_and_the_oracle():
  error, deviation, _ = simulated()
  best = measures.aurg(error, np.abs(error))
  assert 0 < measures.aurg(error, deviation) < best
  total = measures.ause(error, deviation) + measures.aurg(error, deviation)
  assert total == pytest.approx(best)
  assert 0.2 < measures.rank(error, deviation) < 0.9


def test_no_measure_of_a_deviation_that_is_zero():
  error, deviation, _ = simulated()
  assert np.isnan(measures.ence(error, np.zeros(N)))
  assert measures.coverage_error(error, 0 * deviation) == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize('name', calibration.FITS)
@pytest.mark.parametrize('factor', [0.4, 3.0])
def test_every_calibration_removes_a_factor(name, factor):
  fit = calibration.FITS[name](*simulated(factor))
  error, deviation, group = simulated(factor, seed=1)
  calibrated = fit(deviation, group)
  assert calibrated.shape == deviation.shape and calibrated.min() > 0
  assert measures.ence(error, calibrated) < 0.05 < measures.ence(error, deviation)
  # All keep the order of the voxels, apart from groups.
  order = np.argsort(deviation)
  if name != 'group':
    assert (np.diff(calibrated[order]) >= -1e-9).all()


def test_factors_by_group():
  error, deviation, group = simulated()
  wrong = np.where(group == 1, deviation / 3, deviation)
  one = calibration.by_group(error, wrong, group)
  np.testing.assert_allclose(one(wrong, group), deviation, rtol=0.05)
  common = calibration.scale(error, wrong, group)(wrong, group)
  unseen = one(wrong, np.full(N, 7))
  np.testing.assert_allclose(unseen, common)
  assert measures.ence(error, common) > 5 * measures.ence(error, one(wrong, group))


def test_isotonic_is_that_of_scikit_learn_on_a_curve():
  error, deviation, group = simulated()
  bent = deviation**2  # the order is right, the size is not
  fit = calibration.isotonic(error, bent, group)
  want = IsotonicRegression().fit(bent, error**2).predict(bent)
  np.testing.assert_allclose(fit(bent, group) ** 2, want, rtol=1e-6, atol=1e-11)
  assert measures.ence(error, fit(bent, group)) < 0.05
  assert fit(np.array([1e9]), group[:1])[0] == fit(bent.max(keepdims=True), group[:1])


def test_conformal_intervals_cover_exchangeable_errors():
  """Of 500 calibrations by 99 errors with heavy tails, the coverage is 90 % or more."""
  rng, level = np.random.default_rng(5), calibration.LEVEL
  width = stats.norm.ppf((1 + level) / 2)
  covered = []
  for _ in range(500):
    error, deviation = rng.standard_t(3, 199), rng.uniform(0.5, 2, 199)
    error, group = error * deviation, np.zeros(199, int)
    fit = calibration.conformal(error[:99], deviation[:99], group[:99])
    interval = width * fit(deviation[99:], group[99:])
    covered.append(np.mean(np.abs(error[99:]) <= interval))
  assert level - 0.005 < np.mean(covered) < level + 0.02
