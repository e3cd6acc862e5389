"""Draws around a registration have the covariance that its energy says."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.registration.warped_blobs import blobs, smooth_field
from uad_jax.registration import gauss_newton, solve_posterior
from uad_jax.registration.gauss_newton import Problem, energy
from uad_jax.registration.warp import warp

draws = jax.jit(solve_posterior.draws, static_argnums=(3, 4))
register = jax.jit(gauss_newton.register)


def problem_of(shape, channels=1, pull=0.3, seed=0):
  random = np.random.default_rng(seed)
  expected = jnp.float32(random.normal(size=(1, *shape, channels)))
  image = expected + 0.1
  weight, stiffness = (
    jnp.float32(random.uniform(0.5, 2.0, (1, *shape, 1))) for _ in range(2)
  )
  variance = jnp.full(image.shape, 0.5)
  return Problem(image, expected, variance, weight, stiffness, pull)


@pytest.mark.parametrize('shape, channels', [((4, 3), 1), ((2, 3, 2), 2)])
def test_the_covariance_is_the_inverse_of_the_precision(shape, channels):
  problem = problem_of(shape, channels)
  d = len(shape)
  rest = jnp.zeros((1, *shape, d))
  # An image that is linear around each voxel would have this energy exactly.
  slope = jnp.stack(jnp.gradient(problem.expected[0], axis=range(d)), -1)

  def quadratic(u):
    u = u.reshape(1, *shape, d)
    moved = (slope * u[0][..., None, :]).sum(-1)
    data = problem.weight[0, ..., 0] * (moved**2 / 0.5).mean(-1)
    return 0.5 * data.sum() + energy(problem, u)[1][0]

  precision = jax.jit(jax.jacrev(jax.grad(quadratic)))(jnp.zeros(rest.size))
  drawn = draws(problem, rest, jax.random.key(0), 6000, rest.size)
  flat = np.asarray(drawn).reshape(6000, -1)
  expected = np.linalg.inv(np.asarray(precision))
  scale = np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
  assert np.abs(np.cov(flat.T) - expected).max() < 0.08 * scale.max()
  np.testing.assert_allclose(flat.mean(0), 0, atol=6 * scale.max() ** 0.5 / 6000**0.5)


@pytest.mark.slow
def test_a_hidden_and_a_flat_place_are_the_less_certain():
  shape = (24, 24)
  expected = blobs(shape)
  image = warp(expected, smooth_field(shape, 1.0))
  variance, ones = jnp.full(image.shape, 1e-3), jnp.ones(image.shape)
  lesion = jnp.zeros_like(ones).at[:, 8:16, 8:16].set(1.0)
  spread = []
  for weight in (ones, ones - lesion):
    problem = Problem(image, expected, variance, weight, 1.0)
    u = register(problem)
    drawn = draws(problem, u, jax.random.key(1), 32)
    assert drawn.shape == (1, 32, *shape, 2)
    spread.append(np.asarray(drawn.std(1)[0, 10:14, 10:14].mean()))
  assert spread[1] > 1.5 * spread[0]
