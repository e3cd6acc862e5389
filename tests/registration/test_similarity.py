import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from uad_jax.registration import similarity

SHAPES = [(11, 9), (6, 5, 7)]


def random_pair(shape, seed=0, channels=1):
  rng = np.random.default_rng(seed)
  a = rng.uniform(size=(2, *shape, channels)).astype('float32')
  b = (0.5 * a + 0.5 * rng.uniform(size=a.shape)).astype('float32')
  weight = (
    rng.uniform(size=(2, *shape, 1)) * (rng.uniform(size=(2, *shape, 1)) > 0.4)
  ).astype('float32')
  return a, b, weight


def ncc_oracle(a, b, weight, window, epsilon):
  """The definition, voxel by voxel: numpy.cov in float64 on each window."""
  radius = window // 2
  out = np.zeros(weight.shape)
  for index in np.ndindex(weight.shape[:-1]):
    box = (index[0], *(slice(max(i - radius, 0), i + radius + 1) for i in index[1:]))
    w = weight[box].ravel().astype('float64')
    if not w.sum():
      continue
    for c in range(a.shape[-1]):
      pair = np.stack([a[box][..., c].ravel(), b[box][..., c].ravel()])
      cov = np.cov(pair.astype('float64'), aweights=w, ddof=0)
      value = cov[0, 1] ** 2 / ((cov[0, 0] + epsilon) * (cov[1, 1] + epsilon))
      out[index] += value / a.shape[-1]
  return out


@pytest.mark.parametrize('shape', SHAPES)
@pytest.mark.parametrize('weighted', [False, True])
@pytest.mark.parametrize('window', [3, 9])
def test_ncc_is_its_definition(shape, weighted, window):
  a, b, weight = random_pair(shape, channels=2)
  used = weight if weighted else np.ones_like(weight)
  got = similarity.ncc(a, b, weight if weighted else None, window)
  np.testing.assert_allclose(got, ncc_oracle(a, b, used, window, 1e-5), atol=2e-4)


def test_ncc_of_gain_and_offset():
  a, _, _ = random_pair((16, 16))
  same = similarity.ncc(a, a)
  np.testing.assert_allclose(same, 1, atol=1e-3)
  np.testing.assert_allclose(similarity.ncc(a, 3 * a + 20), same, atol=1e-3)
  np.testing.assert_allclose(similarity.ncc(a, 1 - a), same, atol=1e-3)
  np.testing.assert_allclose(similarity.ncc(a, 1 - a, signed=True), -same, atol=1e-3)


@pytest.mark.parametrize(
  'loss', [similarity.mse, similarity.ncc_loss], ids=['mse', 'ncc_loss']
)
def test_voxels_without_weight_have_no_influence(loss):
  a, b, weight = random_pair((11, 9))
  other = np.where(weight == 0, 7.0, a).astype('float32')
  np.testing.assert_allclose(loss(a, b, weight), loss(other, b, weight), rtol=1e-3)
  grad = jax.grad(lambda x: loss(x, b, weight).sum())(jnp.asarray(a))
  np.testing.assert_array_equal(np.asarray(grad)[weight == 0], 0)
  assert np.abs(np.asarray(grad)[weight > 0]).max() > 0
  np.testing.assert_allclose(loss(a, b, 0.3 * weight), loss(a, b, weight), rtol=1e-4)
  np.testing.assert_array_equal(loss(a, b, 0 * weight), 0)


def test_mse_is_numpys():
  a, b, weight = random_pair((5, 4), channels=3)
  np.testing.assert_allclose(
    similarity.mse(a, b), ((a - b) ** 2).mean((1, 2, 3)), rtol=1e-5
  )
  # Oracle: numpy.average with weights.
  want = [
    np.average(((a - b) ** 2)[i], weights=np.broadcast_to(weight, a.shape)[i])
    for i in range(2)
  ]
  np.testing.assert_allclose(similarity.mse(a, b, weight), want, rtol=1e-5)


@pytest.mark.parametrize('signed', [False, True])
def test_gradients(signed):
  a, b, weight = random_pair((6, 5), seed=3)
  weight = weight + np.float32(0.1)
  check_grads(
    jax.jit(lambda a, b, w: similarity.ncc(a, b, w, 3, 1e-2, signed)),
    (a, b, weight),
    1,
    ('rev',),
    atol=2e-2,
    rtol=2e-2,
  )
  check_grads(
    jax.jit(similarity.mse), (a, b, weight), 1, ('rev',), atol=1e-2, rtol=1e-2
  )


@pytest.mark.parametrize('value', [0.0, 0.5])
def test_constant_images(value):
  flat = jnp.full((1, 12, 12, 1), value)
  for weight in (None, jnp.ones_like(flat), jnp.zeros_like(flat)):
    grads = jax.grad(
      lambda a, b, w=weight: similarity.ncc_loss(a, b, w).sum(), argnums=(0, 1)
    )(flat, flat)
    assert all(jnp.isfinite(g).all() for g in grads)
  np.testing.assert_allclose(similarity.ncc(flat, flat), 0, atol=1e-6)


def test_even_window():
  a, b, _ = random_pair((4, 4))
  with pytest.raises(ValueError, match='must be odd, not 8'):
    similarity.ncc(a, b, window=8)


def test_a_distance_by_its_name():
  rng = np.random.default_rng(0)
  a, b = rng.uniform(size=(2, 2, 12, 12, 1)).astype(np.float32)
  squared = similarity.distance('mse', mse_weight=3.0)(a, b)
  np.testing.assert_allclose(squared, 3 * ((a - b) ** 2).mean((1, 2, 3)), rtol=1e-5)
  local = similarity.distance('ncc', window=5)(a, b)
  np.testing.assert_allclose(local, similarity.ncc_loss(a, b, window=5), rtol=1e-6)
  with pytest.raises(ValueError, match="unknown similarity 'mi'; there are ncc, mse"):
    similarity.distance('mi')
