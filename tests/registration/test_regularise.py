import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from uad_jax.registration import regularise

SHAPES = [(7, 6), (4, 5, 6)]
ENERGIES = {
  'forward': lambda v, w=None: regularise.gradient_energy(v, w),
  'central': lambda v, w=None: regularise.gradient_energy(v, w, 'central'),
  'magnitude': regularise.magnitude_energy,
}


def random_case(shape, seed=0):
  rng = np.random.default_rng(seed)
  velocity = rng.normal(size=(2, *shape, len(shape))).astype('float32')
  weight = rng.uniform(0.1, 2, size=(2, *shape, 1)).astype('float32')
  return velocity, weight


@pytest.mark.parametrize('shape', SHAPES)
def test_forward_is_voxelmorphs(shape):
  v, _ = random_case(shape)
  # Oracle: the published definition in numpy (Grad, 'l2'): the mean over axes of the
  # mean squared forward difference.
  axes = range(1, 1 + len(shape))
  want = np.mean([[(np.diff(x[None], axis=a) ** 2).mean() for a in axes] for x in v], 1)
  np.testing.assert_allclose(regularise.gradient_energy(v), want, rtol=1e-6)


@pytest.mark.parametrize('shape', SHAPES)
def test_weighted_forward_is_the_sum_over_edges(shape):
  v, w = random_case(shape)
  want = np.zeros(2)
  for axis in range(1, 1 + len(shape)):
    low = np.take(v, range(shape[axis - 1] - 1), axis)
    high = np.take(v, range(1, shape[axis - 1]), axis)
    lam = np.take(w, range(shape[axis - 1] - 1), axis) / 2
    lam = lam + np.take(w, range(1, shape[axis - 1]), axis) / 2
    want += (lam * (high - low) ** 2).mean(tuple(range(1, v.ndim))) / len(shape)
  np.testing.assert_allclose(regularise.gradient_energy(v, w), want, rtol=1e-5)


def test_central_is_numpys_gradient():
  v, _ = random_case((7, 6))
  # Oracle: numpy.gradient, which is central on the interior.
  dy = np.gradient(v, axis=1)[:, 1:-1]
  dx = np.gradient(v, axis=2)[:, :, 1:-1]
  want = ((dy**2).mean((1, 2, 3)) + (dx**2).mean((1, 2, 3))) / 2
  got = regularise.gradient_energy(v, kind='central')
  np.testing.assert_allclose(got, want, rtol=1e-5)


@pytest.mark.parametrize('shape', SHAPES)
@pytest.mark.parametrize('name', ENERGIES)
def test_a_constant_weight_is_a_factor(name, shape):
  v, w = random_case(shape)
  plain = ENERGIES[name](v)
  assert plain.shape == (2,) and (plain > 0).all()
  np.testing.assert_allclose(
    ENERGIES[name](v, np.full_like(w, 3.0)), 3 * plain, rtol=1e-5
  )


@pytest.mark.parametrize('name', ENERGIES)
def test_mirrored_fields_have_the_same_energy(name):
  v, w = random_case((7, 6))
  mirrored = ENERGIES[name](v[:, ::-1], w[:, ::-1])
  np.testing.assert_allclose(mirrored, ENERGIES[name](v, w), rtol=1e-5)


@pytest.mark.parametrize('name', ENERGIES)
def test_voxels_without_weight_are_free(name):
  v, w = random_case((8, 8))
  w = w.copy()
  w[:, 2:7, 2:7] = 0
  moved = v.copy()
  moved[:, 4, 4] += 5
  np.testing.assert_allclose(ENERGIES[name](moved, w), ENERGIES[name](v, w), rtol=1e-5)
  assert (ENERGIES[name](moved) != ENERGIES[name](v)).all()


@pytest.mark.parametrize('name', ENERGIES)
def test_gradients(name):
  v, w = random_case((4, 5))
  check_grads(jax.jit(ENERGIES[name]), (v, w), 1, ('rev',), atol=1e-2, rtol=1e-2)


@pytest.mark.parametrize('name', ENERGIES)
def test_at_rest(name):
  zero = jnp.zeros((1, 4, 4, 4, 3))
  value, grad = jax.jit(jax.value_and_grad(lambda v: ENERGIES[name](v).sum()))(zero)
  assert value == 0 and (grad == 0).all()


def test_unknown_kind():
  with pytest.raises(ValueError, match="kind 'backward' must be one of"):
    regularise.gradient_energy(jnp.zeros((1, 4, 4, 2)), kind='backward')
