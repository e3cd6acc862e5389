import math

import numpy as np
import pytest
from scipy import optimize, stats

from uad_jax.online.generalised_pareto import Pareto, fit_pareto, tail_excess


def likelihood(tail, values):
  return stats.genpareto.logpdf(values, tail.shape, scale=tail.scale).sum()


@pytest.mark.parametrize('unit', [1e-4, 1.0, 1e5])
@pytest.mark.parametrize('shape', [-0.4, -0.1, 0.0, 0.15, 0.7, 1.5])
def test_the_fit_reaches_the_likelihood_of_scipy(shape, unit):
  # Oracle: scipy.stats.genpareto.fit, a search in two dimensions.
  values = stats.genpareto.rvs(shape, size=300, random_state=7)
  tail = fit_pareto(unit * values)
  expected_shape, _, expected_scale = stats.genpareto.fit(values, shape, floc=0)
  expected = Pareto(expected_shape, expected_scale)
  scaled = Pareto(tail.shape, tail.scale / unit)
  assert likelihood(scaled, values) >= likelihood(expected, values) - 1e-6
  assert scaled == pytest.approx(expected, abs=2e-3)
  assert scaled == pytest.approx((shape, 1), abs=0.2)


@pytest.mark.parametrize('shape', [-0.3, 0.0, 0.3])
def test_the_fit_recovers_the_shape_from_many_samples(shape):
  # Oracle: standard errors of the maximum likelihood estimate, Smith 1987.
  n = 20_000
  tail = fit_pareto(stats.genpareto.rvs(shape, scale=3, size=n, random_state=1))
  assert tail.shape == pytest.approx(shape, abs=3 * (1 + shape) / math.sqrt(n))
  error = 3 * math.sqrt(2 * (1 + shape) / n)
  assert tail.scale == pytest.approx(3, abs=3 * error)


def test_the_fit_is_smooth_where_the_shape_passes_zero():
  # Powers of one exponential sample: the shape crosses 0 near power 1.
  base = -np.log1p(-(np.arange(500) + 0.5) / 500)
  shapes = [fit_pareto(base**power).shape for power in np.linspace(0.98, 1.04, 61)]
  steps = np.diff(shapes)
  assert shapes[0] < 0 < shapes[-1]
  assert steps.min() > 0 and steps.max() < 2 * steps.min()


@pytest.mark.parametrize('target', [-1e-4, -1e-5, 1e-5, 1e-4])
def test_the_fit_solves_the_equation_of_grimshaw_near_shape_zero(target):
  # Oracle: u v = 1, u = mean 1 / (1 + x y), v = 1 + mean ln(1 + x y), up to rounding.
  base = -np.log1p(-(np.arange(500) + 0.5) / 500)
  power = optimize.brentq(lambda p: fit_pareto(base**p).shape - target, 0.98, 1.04)
  tail = fit_pareto(base**power)
  products = tail.shape / tail.scale * base**power
  slope = (
    (1 / (1 + products)).mean() * (1 + np.log1p(products).mean()) - 1
  ) / target**2
  assert tail.shape == pytest.approx(target, rel=1e-6)
  assert abs(slope) < 1e-15 / target**2 + 1e-6


def test_without_a_maximum_the_fit_is_by_moments_or_exponential():
  # Oracle: moments of Hosking and Wallis 1987.
  uniform = np.array([0.2, 0.3, 1.4, 2.0])
  ratio = uniform.mean() ** 2 / uniform.var()
  moments = ((1 - ratio) / 2, uniform.mean() * (1 + ratio) / 2)
  assert fit_pareto(uniform) == pytest.approx(moments)
  assert fit_pareto([2.0]) == Pareto(0.0, 2.0)
  assert fit_pareto([2.0, 2.0, 2.0]) == Pareto(0.0, 2.0)
  mean = (1.0 + 1.1) / 2
  assert fit_pareto([1.0, 1.1]) == pytest.approx(Pareto(0.0, mean))


@pytest.mark.parametrize('seed', range(20))
def test_small_samples_always_have_a_fit_that_admits_them(seed):
  rng = np.random.default_rng(seed)
  values = rng.gamma(rng.choice([0.1, 1, 9]), size=rng.integers(1, 12))
  tail = fit_pareto(np.maximum(values, 1e-300))
  assert tail.scale > 0 and tail.shape > -1 and np.isfinite(tail).all()
  assert 1 + tail.shape * values.max() / tail.scale > 0


@pytest.mark.parametrize('shape', [-0.5, -1e-13, 0.0, 1e-13, 1e-6, 0.4])
def test_the_tail_excess_is_the_quantile_of_scipy(shape):
  # Oracle: scipy.stats.genpareto.isf; near shape 0 the exponential distribution.
  chances = [1.0, 0.3, 1e-3, 1e-9]
  excesses = [tail_excess(Pareto(shape, 2.0), chance) for chance in chances]
  exact = 0.0 if abs(shape) < 1e-9 else shape
  expected = stats.genpareto.isf(chances, exact, scale=2.0)
  np.testing.assert_allclose(excesses, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize('values', [[], [0.0, 1.0], [-1.0], [np.inf], [np.nan]])
def test_excesses_are_finite_numbers_above_zero(values):
  with pytest.raises(ValueError, match='excesses h(as|olds)'):
    fit_pareto(values)
