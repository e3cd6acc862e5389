"""Generalised Gaussians against scipy, and the fit of their shape."""

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from uad_jax.ops.generalised_gaussian import (
  SHAPES,
  GeneralisedGaussian,
  log_density,
  match_moments,
)


@pytest.mark.parametrize('shape', [0.7, 1.0, 2.0, 4.0])
def test_the_density_is_scipys(shape):
  z = np.linspace(-3, 4, 9, dtype=np.float32)
  fitted = GeneralisedGaussian(*(jnp.full(9, x) for x in (0.3, 1.7, shape)))
  expected = scipy.stats.gennorm(shape, loc=0.3, scale=1.7).logpdf(z)
  np.testing.assert_allclose(log_density(jnp.asarray(z), fitted), expected, rtol=1e-4)


def test_the_fit_gives_back_the_shapes_whose_moments_it_sees():
  shapes, scale = np.array([0.5, 1.0, 2.0, 6.0]), 1.7
  law = [scipy.stats.gennorm(b, scale=scale) for b in shapes]
  # E |z| of gennorm, by its density; scipy gives the variance.
  grid = np.linspace(0, 400, 400_001)
  deviation = [2 * np.trapezoid(grid * x.pdf(grid), grid) for x in law]
  variance = [x.var() for x in law]
  fitted = match_moments(
    jnp.zeros(4), jnp.float32(np.array(deviation)), jnp.float32(np.array(variance))
  )
  np.testing.assert_allclose(fitted.shape, shapes, rtol=1e-2)
  np.testing.assert_allclose(fitted.scale, scale, rtol=1e-2)


def test_a_constant_and_a_sample_of_two_values_have_finite_densities():
  fitted = match_moments(jnp.zeros(2), jnp.array([0.0, 1.0]), jnp.array([0.0, 1.0]))
  assert float(fitted.shape[1]) == pytest.approx(SHAPES[1], rel=1e-3)
  assert jnp.isfinite(log_density(jnp.array([5.0, 5.0]), fitted)).all()
