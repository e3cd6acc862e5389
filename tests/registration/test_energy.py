"""The energy of a gated registration."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from uad_jax.registration import energy, regularise
from uad_jax.registration.similarity import mse


def field(shape, seed=0):
  d = len(shape)
  rough = np.random.default_rng(seed).normal(0, 1, (2, *[4] * d, d))
  return jax.image.resize(jnp.asarray(rough, jnp.float32), (2, *shape, d), 'cubic')


@pytest.mark.parametrize('shape', [(12, 10), (8, 8, 6)])
def test_a_closed_gate_is_the_uniform_regularisation(shape):
  v, g, lambda0 = field(shape), jnp.zeros((2, *shape, 1)), jnp.array([0.5, 2.0])
  found = energy.regularisation(v, g, lambda0, energy.Gating())
  np.testing.assert_allclose(found, lambda0 * regularise.gradient_energy(v), rtol=1e-6)


def test_an_open_gate_multiplies_stiffness_and_pulls_to_rest():
  v, g = field((12, 10)), jnp.ones((2, 12, 10, 1))
  lambda0 = jnp.array([0.5, 2.0])
  how = energy.Gating(ratio=7.0, magnitude=3.0)
  found = energy.regularisation(v, g, lambda0, how)
  wanted = 7 * regularise.gradient_energy(v) + 3 * regularise.magnitude_energy(v)
  np.testing.assert_allclose(found, lambda0 * wanted, rtol=1e-5)


def test_what_the_gate_hides_has_no_gradient():
  rng = np.random.default_rng(1)
  image, expected = rng.uniform(0, 1, (2, 1, 16, 16, 1)).astype(np.float32)
  g = np.zeros((1, 16, 16, 1), np.float32)
  g[:, 5:9, 5:9] = 1
  omega = energy.Gating(dilation=1).data_weight(g)
  rest = jnp.zeros((1, 16, 16, 2))

  def data(image):
    return energy.bidirectional(image, expected, omega, rest, rest, mse).sum()

  gradient = np.asarray(jax.grad(data)(image))[0, ..., 0]
  assert np.all(gradient[4:10, 4:10] == 0)
  assert np.all(gradient[:3] != 0)


def test_both_directions_count_alike():
  rng = np.random.default_rng(2)
  a, b = rng.uniform(0, 1, (2, 2, 16, 16, 1)).astype(np.float32)
  there = 0.5 * field((16, 16))
  weight = jnp.ones((2, 16, 16, 1))
  one = energy.bidirectional(a, b, weight, there, -there, mse)
  other = energy.bidirectional(b, a, weight, -there, there, mse)
  np.testing.assert_allclose(one, other, rtol=1e-5)


def test_fields_that_differ_far_from_the_gate_are_not_parted():
  v = field((16, 16))
  g = np.zeros((2, 16, 16, 1), np.float32)
  g[:, 3, 3] = 1
  far = v.at[:, 10:].add(1.0)
  np.testing.assert_array_equal(energy.twin_difference(far, v, g), 0)
  near = v.at[:, 3, 3, 0].add(2.5)
  # One of the 25 voxels in and around the gate.
  np.testing.assert_allclose(energy.twin_difference(near, v, g), 0.1, rtol=1e-5)
  np.testing.assert_array_equal(energy.twin_difference(near, v, np.zeros_like(g)), 0)
