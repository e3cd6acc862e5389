import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from uad_jax.registration import gate

SHAPES = [(16, 18), (9, 8, 10)]


def noise(shape, seed=0):
  return np.random.default_rng(seed).uniform(size=(2, *shape, 1)).astype('float32')


def test_standardised_residual():
  x = np.full((1, 8, 8, 2), 0.5, 'float32')
  log_variance = np.log(np.full_like(x, 0.03**2))
  z = gate.standardised_residual(x, x - 0.1, log_variance, tau=0.04)
  np.testing.assert_allclose(z, np.full((1, 8, 8, 1), 0.1 / 0.05), rtol=1e-4)


def test_more_healthy_variance_is_less_surprise():
  x, prior = noise((8, 8)), noise((8, 8), 1)
  quiet = gate.standardised_residual(x, prior, np.full_like(x, -6.0))
  loud = gate.standardised_residual(x, prior, np.full_like(x, -2.0))
  assert (loud < quiet).all()


@pytest.mark.parametrize('shape', SHAPES)
def test_gate_is_exactly_closed_without_evidence(shape):
  h = np.full((1, *shape, 1), 0.3, 'float32')
  closing = jax.jit(gate.gate, static_argnames='hinge')
  np.testing.assert_array_equal(closing(h), 0)
  np.testing.assert_allclose(closing(h, hinge=False), 0.3, rtol=1e-5)
  np.testing.assert_allclose(closing(np.ones_like(h)), 1, rtol=1e-5)
  half = np.full_like(h, 0.35 + 0.65 / 2)
  np.testing.assert_allclose(closing(half), 0.5, rtol=1e-5)


def test_single_voxels_do_not_open_the_gate():
  h = np.zeros((1, 15, 15, 1), 'float32')
  h[0, 7, 7] = 1
  np.testing.assert_array_equal(gate.gate(h), 0)
  h[0, 4:11, 4:11] = 1
  assert gate.gate(h)[0, 7, 7, 0] > 0.9


def test_maps_at_a_closed_and_an_open_gate():
  g = jnp.array([0.0, 0.5, 1.0]).reshape(1, 3, 1, 1)
  np.testing.assert_allclose(
    gate.stiffness(g, 0.1, 100.0).ravel(), [0.1, 1.0, 10.0], rtol=1e-5
  )
  np.testing.assert_allclose(gate.magnitude(g, 0.2).ravel(), [0, 0.1, 0.2], rtol=1e-6)
  np.testing.assert_allclose(gate.data_weight(g).ravel(), [1, 0.5, 0], rtol=1e-6)
  np.testing.assert_allclose(
    gate.data_weight(g, 0.5).ravel(), [1, 0.75, 0.5], rtol=1e-6
  )
  np.testing.assert_allclose(gate.data_weight(g, radius=1).ravel(), [0.5, 0, 0])


def test_a_closed_gate_changes_nothing():
  """T1 of the design: with g = 0 the maps are bitwise those of the uniform field."""
  g = jnp.zeros((1, 4, 5, 1))
  np.testing.assert_array_equal(gate.stiffness(g, 0.3, 10.0), np.float32(0.3))
  np.testing.assert_array_equal(gate.magnitude(g, 7.0), 0)
  np.testing.assert_array_equal(gate.data_weight(g, 1.0, 2), 1)


def test_gradients():
  x, prior, v = (noise((5, 6), i) for i in range(3))
  check_grads(
    jax.jit(lambda p, v: gate.standardised_residual(x + 2, p, v)),
    (prior, v),
    1,
    ('rev',),
    atol=1e-2,
  )
  h = 0.4 + 0.2 * noise((5, 6))
  check_grads(jax.jit(gate.gate), (h,), 1, ('rev',), atol=1e-2, rtol=1e-2)
  check_grads(
    jax.jit(lambda g: gate.stiffness(g, 0.1)), (h,), 1, ('rev',), atol=1e-2, rtol=1e-2
  )


def test_gradients_are_finite_at_equal_images():
  x = jnp.ones((1, 5, 5, 1))
  grad = jax.jit(jax.grad(lambda p: gate.standardised_residual(x, p, 0 * x).sum()))(x)
  assert jnp.isfinite(grad).all()
