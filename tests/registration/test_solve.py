import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from uad_jax.registration import regularise, solve

gated_field = jax.jit(solve.gated_field)
SHAPES = [(6, 5), (4, 3, 4)]


def random_case(shape, seed=0):
  rng = np.random.default_rng(seed)
  velocity = rng.normal(size=(2, *shape, len(shape))).astype('float32')
  keep = (rng.uniform(size=(2, *shape, 1)) > 0.3).astype('float32')
  stiffness = rng.uniform(0.1, 2, size=(2, *shape, 1)).astype('float32')
  magnitude = (rng.uniform(size=(2, *shape, 1)) * (1 - keep)).astype('float32')
  return velocity, keep, stiffness, magnitude


def dense_oracle(v0, c, lam, mu):
  """The normal equations as a matrix, edge by edge, solved by numpy in float64."""
  shape = c.shape[:-1]
  number = np.arange(np.prod(shape)).reshape(shape)
  matrix = np.diag((c + mu).ravel().astype('float64'))
  for axis in range(len(shape)):
    low = np.take(number, range(shape[axis] - 1), axis).ravel()
    high = np.take(number, range(1, shape[axis]), axis).ravel()
    for i, j in zip(low, high, strict=True):
      edge = (lam.ravel()[i] + lam.ravel()[j]) / 2
      matrix[[i, j], [i, j]] += edge
      matrix[[i, j], [j, i]] -= edge
  right = (c * v0).reshape(number.size, -1)
  return np.linalg.solve(matrix, right).reshape(v0.shape)


@pytest.mark.parametrize('shape', SHAPES)
def test_gated_field_is_the_dense_solution(shape):
  case = random_case(shape)
  got = gated_field(*case)
  want = np.stack([dense_oracle(*(x[b] for x in case)) for b in range(2)])
  np.testing.assert_allclose(got, want, atol=1e-4)


def test_without_stiffness_the_field_is_kept():
  v, keep, _, _ = random_case((6, 5))
  got = gated_field(v, np.ones_like(keep), 1e-6)
  np.testing.assert_allclose(got, v, atol=1e-4)


def test_a_lesion_is_carried_by_its_surroundings():
  """A translation around the hole fills it: the target in a lesion is not rest."""
  v = np.ones((1, 12, 12, 2), 'float32') * np.array([1.5, -0.5], 'float32')
  keep = np.ones((1, 12, 12, 1), 'float32')
  keep[:, 4:8, 4:8] = 0
  explained = v.copy()
  explained[:, 4:8, 4:8] += 4.0
  np.testing.assert_allclose(gated_field(explained, keep, 0.3), v, atol=1e-3)


def test_a_large_magnitude_stills_the_hole():
  v, keep, stiffness, _ = random_case((8, 8))
  got = gated_field(v, keep, stiffness, 1e4 * (1 - keep))
  assert np.abs(np.asarray(got) * (1 - keep)).max() < 1e-3


def test_everything_gated_is_at_rest():
  v, keep, stiffness, _ = random_case((6, 5))
  got = gated_field(v, 0 * keep, stiffness)
  np.testing.assert_array_equal(got, 0)


@pytest.mark.parametrize('shape', SHAPES)
def test_laplacian_is_the_gradient_of_the_energy(shape):
  v, _, lam, _ = random_case(shape)

  def energy(v):
    total = 0.0
    for axis in range(1, 1 + len(shape)):
      edges = regularise.edge_mean(lam, axis) * regularise.difference(v, axis) ** 2
      total = total + edges.sum()
    return total / 2

  want = jax.grad(energy)(jnp.asarray(v))
  np.testing.assert_allclose(solve.laplacian(v, lam), want, atol=1e-4)


def test_implicit_gradients():
  v, keep, stiffness, magnitude = random_case((4, 3))
  keep = 0.5 + 0.5 * keep
  check_grads(
    jax.jit(lambda *case: solve.gated_field(*case, tolerance=1e-7)),
    (v, keep, stiffness, magnitude + np.float32(0.1)),
    1,
    ('rev',),
    atol=2e-2,
    rtol=2e-2,
  )
