"""Oracles: scipy's kernel density estimate, scikit-learn's neighbours, closed forms."""

import numpy as np
import pytest
from scipy import stats
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import normalize

from uad_jax.domain_shift import density_of_states as dos


@pytest.fixture
def rng():
  return np.random.default_rng(0)


def test_a_density_is_that_of_scipy(rng):
  values, queries = rng.gamma(2, size=40), np.linspace(-1, 8, 50)
  kde = dos.fit_kde(values)
  oracle = stats.gaussian_kde(values)
  assert kde.bandwidth == pytest.approx(float(np.sqrt(oracle.covariance[0, 0])))
  np.testing.assert_allclose(dos.log_density(kde, queries), oracle.logpdf(queries))


def test_a_density_is_finite_far_away_and_falls_as_its_nearest_kernel():
  kde = dos.fit_kde(np.array([0.0, 1.0, 2.0]))
  far = dos.log_density(kde, np.array([1e3, 2e3]))
  assert np.isfinite(far).all()
  kernels = -((np.array([998.0, 1998.0]) / kde.bandwidth) ** 2) / 2
  assert np.diff(far) == pytest.approx(np.diff(kernels), rel=1e-3)


def test_the_density_of_states_adds_log_densities_and_not_densities(rng):
  healthy = {'a': rng.normal(size=30), 'b': rng.exponential(size=30)}
  new = {'a': np.array([0.0, 3.0]), 'b': np.array([1.0, 9.0])}
  oracle = sum(stats.gaussian_kde(healthy[n]).logpdf(new[n]) for n in healthy)
  made = dos.dose(dos.fit_dose(healthy), {**new, 'c': np.zeros(2)})
  np.testing.assert_allclose(made, oracle)
  assert made[1] < made[0]


def test_a_constant_statistic_is_not_used(rng):
  healthy = {'a': rng.normal(size=30), 'kl': np.zeros(30)}
  assert list(dos.fit_dose(healthy)) == ['a']
  with pytest.raises(ValueError, match='of 1 none does'):
    dos.fit_dose({'kl': np.zeros(30)})
  with pytest.raises(ValueError, match='missing are a'):
    dos.dose(dos.fit_dose(healthy), {'kl': np.zeros(2)})
  with pytest.raises(ValueError, match='2 or more finite values that differ'):
    dos.fit_kde(np.array([1.0, np.nan]))


def test_typicality_is_the_distance_from_the_mean_to_both_sides():
  made = dos.typicality(np.array([1.0, 4.0, 7.0]), np.array([3.0, 5.0]))
  np.testing.assert_array_equal(made, [3, 0, 3])


def test_waic_is_mean_minus_variance_over_the_models():
  # Models m - d, m, m + d: mean m, variance 2 d^2 / 3.
  mean, step = np.array([-5.0, 2.0]), np.array([3.0, 0.0])
  models = np.stack([mean - step, mean, mean + step])
  np.testing.assert_allclose(dos.waic(models), mean - 2 * step**2 / 3)
  with pytest.raises(ValueError, match='2 or more models'):
    dos.waic(models[:1])


def test_the_likelihood_ratio_of_normals_is_a_line():
  # N(1, 1) against N(0, 1): log ratio x - 1/2.
  x = np.linspace(-2, 2, 5)
  made = dos.likelihood_ratio(stats.norm.logpdf(x, 1), stats.norm.logpdf(x))
  np.testing.assert_allclose(made, x - 0.5)


@pytest.mark.parametrize('k', [1, 5])
def test_the_distance_to_neighbours_is_that_of_scikit_learn(k, rng):
  healthy, new = rng.normal(size=(30, 6)), rng.normal(size=(9, 6))
  oracle = NearestNeighbors(n_neighbors=k).fit(normalize(healthy))
  expected = oracle.kneighbors(normalize(new))[0][:, -1]
  np.testing.assert_allclose(dos.knn_distance(new, healthy, k), expected)
  # The lengths of the features do not count.
  np.testing.assert_allclose(dos.knn_distance(7 * new, healthy, k), expected)


def test_neighbours_that_there_are_not_are_refused(rng):
  healthy = rng.normal(size=(4, 3))
  with pytest.raises(ValueError, match='k is 5; allowed is a whole number from 1 to 4'):
    dos.knn_distance(healthy, healthy, 5)
  with pytest.raises(ValueError, match='numbers of features must be equal'):
    dos.knn_distance(healthy[:, :2], healthy, 1)
