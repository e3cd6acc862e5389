import numpy as np
import pytest
from scipy import ndimage, stats

from uad_jax.online import extreme_values
from uad_jax.online import scan_decision as sd
from uad_jax.online.generalised_pareto import Pareto
from uad_jax.online.guards import Guards
from uad_jax.online.stream_settings import Settings


def test_masses_are_sums_over_scipys_components():
  rng = np.random.default_rng(0)
  anomaly = ndimage.gaussian_filter(rng.normal(size=(12, 12, 8)), 1).astype('f4')
  mask = (rng.random(anomaly.shape) < 0.9).astype('f4')
  threshold = float(np.quantile(anomaly, 0.9))
  parts = sd.marks(anomaly, mask, threshold)
  # Oracle: scipy's labels and sums.
  labels, number = ndimage.label((anomaly >= threshold) & (mask > 0), np.ones((3,) * 3))
  masses = ndimage.sum(anomaly.astype('f8') - threshold, labels, range(1, number + 1))
  assert number > 3 and (parts.labels == labels).all()
  np.testing.assert_allclose(parts.masses, masses)
  assert sd.largest(parts.masses) == pytest.approx(masses.max())
  nothing = sd.marks(anomaly, mask, 9.0)
  assert sd.largest(nothing.masses) == 0 and nothing.masses.shape == (0,)


def test_p_values_of_many_scans_are_conformal():
  scores = np.random.default_rng(1).exponential(size=150)
  calibration = sd.Calibration(scores, 150, None)
  masses = np.array([0.0, 0.5, 4.0, 99.0])
  expected = [(1 + sum(scores >= mass)) / 151 for mass in masses]
  np.testing.assert_allclose(sd.p_values(calibration, masses, 0.0), expected)
  assert sd.p_values(calibration, np.zeros(0), 0.0).shape == (0,)


def test_recent_scores_have_more_weight():
  scores = np.arange(120.0)
  calibration = sd.Calibration(scores, 100, None)
  # Oracle: the weights written out; the source's scores all come before the stream's.
  weights = [0.9**20] * 100 + [0.9**age for age in range(19, -1, -1)]
  for mass in (50.0, 110.0):
    above = sum(w for w, s in zip(weights, scores, strict=True) if s >= mass)
    expected = (1 + above) / (1 + sum(weights))
    np.testing.assert_allclose(
      sd.p_values(calibration, np.array([mass]), 0.1), [expected]
    )


def test_few_scans_take_small_p_values_from_a_fitted_tail():
  scores = np.random.default_rng(2).exponential(size=40)
  spot = extreme_values.start(scores, 0.05, 0.8)
  calibration = sd.Calibration(scores, 40, spot)
  masses = np.array([0.1, spot.threshold, spot.threshold + 1.5, 30.0])
  p = sd.p_values(calibration, masses, 0.0)
  rank = [(1 + sum(scores >= mass)) / 41 for mass in masses]
  np.testing.assert_allclose(p[:2], rank[:2])
  # Oracle: scipy's generalised Pareto distribution beyond the threshold.
  share = (1 + sum(scores > spot.threshold)) / 41
  tail = stats.genpareto(spot.shape, 0, spot.scale).sf(masses[2:] - spot.threshold)
  np.testing.assert_allclose(p[2:], share * np.maximum(tail, 1e-9))
  assert p[3] < 1 / 41
  grid = sd.p_values(calibration, np.linspace(0, 20, 500), 0.0)
  assert (np.diff(grid) <= 0).all() and (grid > 0).all()
  # What is flagged at the risk of SPOT is an alarm of SPOT.
  flagged = np.linspace(0, 20, 500)[grid <= spot.risk]
  assert len(flagged) and flagged.min() >= extreme_values.alarm_threshold(spot)


def test_p_values_of_healthy_scores_are_valid():
  # P(p <= 0.05) <= 0.05 over calibrations and new scores; 3 standard errors.
  rng, small = np.random.default_rng(3), []
  for _ in range(400):
    calibration = sd.calibrated(rng.exponential(size=100), Settings())
    small += (sd.p_values(calibration, rng.exponential(size=5), 0.0) <= 0.05).tolist()
  assert 0.02 < np.mean(small) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 400)


@pytest.mark.parametrize('shape', [0.0, 0.4, -0.3])
def test_chances_of_the_tail_are_scipys(shape):
  excesses = np.array([0.0, 0.7, 3.0, 50.0])
  expected = stats.genpareto(shape, 0, 2.0).sf(excesses)
  np.testing.assert_allclose(sd.tail_chance(Pareto(shape, 2.0), excesses), expected)


def test_a_frozen_calibration_stays_and_another_grows():
  scores = np.random.default_rng(4).exponential(size=20)
  settings = Settings(capacity=3)
  calibration = sd.calibrated(scores, settings)
  assert sd.grow(calibration, 0.5, settings) is calibration
  settings = settings._replace(guards=Guards(frozen=False))
  for score in (0.1, 0.2, 0.3, 0.4):
    calibration = sd.grow(calibration, score, settings)
  np.testing.assert_array_equal(calibration.scores, [*scores, 0.2, 0.3, 0.4])
  assert calibration.healthy == 20 and calibration.spot.count == 24
