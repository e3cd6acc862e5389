"""Registration by Gauss-Newton: its minimum, its pull and gate, what it does in 3-D."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

from tests.registration.warped_blobs import blobs, smooth_field
from uad_jax.registration import flow, gauss_newton
from uad_jax.registration.gauss_newton import Problem, Schedule, energy
from uad_jax.registration.warp import grid, warp

register = jax.jit(gauss_newton.register, static_argnames='schedule')


@pytest.mark.parametrize('shape', [(24, 20), (16, 14, 12)])
def test_finds_a_known_field(shape):
  expected, truth = blobs(shape), smooth_field(shape, 1.5)
  image = warp(expected, truth)
  variance, ones = jnp.full(image.shape, 1e-3), jnp.ones((*image.shape[:-1], 1))
  found = register(
    Problem(image, expected, variance, ones, 4.0), schedule=Schedule((8, 6))
  )
  before = float(((image - expected) ** 2).mean())
  after = float(((image - warp(expected, found)) ** 2).mean())
  assert after < 0.03 * before
  # Only the component along the image's slope can be seen.
  slope = flow.gradient(expected)[..., 0, :]
  error, size = (
    float(jnp.abs((u * slope).sum(-1)).sum()) for u in (found - truth, truth)
  )
  assert error < 0.4 * size
  assert float(flow.jacobian_determinant(found).min()) > 0


def test_reaches_the_minimum_that_a_general_optimiser_finds():
  shape = (10, 9)
  expected = blobs(shape, width=0.25)
  image = warp(expected, smooth_field(shape, 0.8))
  ones = jnp.ones_like(image)
  problem = Problem(image, expected, 0.01 * ones, ones, 2.0, 0.1)

  def total(flat):
    return sum(energy(problem, flat.reshape(1, *shape, 2)))[0]

  value = jax.jit(jax.value_and_grad(total))
  best = scipy.optimize.minimize(
    lambda u: tuple(np.asarray(x, 'float64') for x in value(jnp.float32(u))),
    np.zeros(10 * 9 * 2),
    jac=True,
    method='L-BFGS-B',
    options=dict(maxiter=500),
  )
  found = register(problem, schedule=Schedule(steps=(20,), solves=30, damping=0.0))
  rest = float(total(jnp.zeros(10 * 9 * 2)))
  # The step takes the slope of the voxels' central differences, not of the tent.
  assert float(total(found.ravel())) - best.fun < 0.03 * (rest - best.fun)


def test_composed_fields_reach_farther_at_one_stiffness_without_folds():
  shape = (24, 24)
  expected = blobs(shape)
  image = warp(expected, flow.integrate(smooth_field(shape, 4.0)))
  variance, ones = jnp.full(image.shape, 1e-3), jnp.ones(image.shape)
  problem = Problem(image, expected, variance, ones, 40.0)
  errors, schedule = [], Schedule()
  for compositions in range(4):
    u = jax.jit(gauss_newton.register_composed, static_argnums=(1, 2, 3))(
      problem, schedule, schedule, compositions
    )
    errors.append(float(((image - warp(expected, u)) ** 2).mean()))
  np.testing.assert_allclose(
    gauss_newton.moved(problem, u).expected, warp(expected, u), atol=1e-6
  )
  assert sorted(errors, reverse=True) == errors and errors[-1] < 0.3 * errors[0]
  assert float(flow.jacobian_determinant(u).min()) > 0


def test_an_unweighted_lesion_does_not_move_the_field():
  shape = (24, 24)
  expected = blobs(shape)
  healthy = warp(expected, smooth_field(shape, 1.5))
  lesion = (jnp.abs(grid(shape) - 12).max(-1) < 4).astype(jnp.float32)[None, ..., None]
  painted = healthy + 0.8 * lesion
  variance, ones = jnp.full(healthy.shape, 1e-3), jnp.ones(healthy.shape)
  free = register(Problem(painted, expected, variance, ones, 1.0))
  hidden = register(Problem(painted, expected, variance, ones - lesion, 1.0))
  same = register(Problem(healthy, expected, variance, ones - lesion, 1.0))
  np.testing.assert_allclose(hidden, same, atol=1e-4)
  assert float(jnp.abs(free - same).max()) > 0.3


def test_stiffness_and_pull_are_local():
  shape = (24, 24)
  expected = blobs(shape)
  image = warp(expected, smooth_field(shape, 2.0))
  variance, ones = jnp.full(image.shape, 1e-3), jnp.ones(image.shape)
  left = (grid(shape)[..., 0] < 12).astype(jnp.float32)[None, ..., None]
  soft = register(Problem(image, expected, variance, ones, 1.0))
  stiff = register(Problem(image, expected, variance, ones, 1.0 + 1e3 * left))
  still = register(Problem(image, expected, variance, ones, 1.0, 1e6 * left))
  bend = [float(flow.strain(u)[0, 2:10].mean()) for u in (soft, stiff)]
  assert bend[1] < 0.1 * bend[0]
  assert (
    float(jnp.abs(still[0, :11]).max()) < 1e-2 < float(jnp.abs(still[0, 14:]).max())
  )


def test_one_field_for_all_channels_and_one_result_for_each_scan():
  shape = (16, 16)
  expected = jnp.concatenate([blobs(shape, 0), blobs(shape, 5)], -1)
  both = jnp.concatenate([expected, expected[..., ::-1]])
  image = jnp.concatenate([warp(both[:1], smooth_field(shape, 1.0)), both[1:]])
  variance, ones = jnp.full(image.shape, 1e-3), jnp.ones((2, *shape, 1))
  found = register(Problem(image, both, variance, ones, 1.0))
  alone = register(Problem(image[:1], both[:1], variance[:1], ones[:1], 1.0))
  np.testing.assert_allclose(found[:1], alone, atol=1e-4)
  assert float(jnp.abs(found[1]).max()) < 1e-5  # equal images: at rest


def test_a_coarser_field_has_the_shape_of_the_scan():
  shape = (33, 32)  # odd sizes are halved too
  expected = blobs(shape)
  image = warp(expected, smooth_field(shape, 1.0))
  variance, ones = jnp.full(image.shape, 1e-3), jnp.ones(image.shape)
  found = register(
    Problem(image, expected, variance, ones, 0.1), schedule=Schedule((6, 6), finest=2)
  )
  assert found.shape == (1, *shape, 2)
  assert float(((image - warp(expected, found)) ** 2).mean()) < 0.3 * float(
    ((image - expected) ** 2).mean()
  )


def test_the_energy_is_that_of_its_formula():
  shape = (7, 6)
  image, expected, u = blobs(shape, 3), blobs(shape), smooth_field(shape, 0.7)
  weight = jnp.asarray(np.random.default_rng(0).uniform(size=image.shape), 'float32')
  problem = Problem(image, expected, 0.01 + 0 * image, weight, 3.0, 0.2)
  data, deformation = energy(problem, u)
  residual = np.asarray(image - warp(expected, u))
  assert data[0] == pytest.approx(
    float((0.5 * weight * residual**2 / 0.01).sum()), rel=1e-4
  )
  u = np.asarray(u)
  edges = sum((np.diff(u, axis=axis) ** 2).sum() for axis in (1, 2))
  assert deformation[0] == pytest.approx(1.5 * edges + 0.1 * (u**2).sum(), rel=1e-4)
