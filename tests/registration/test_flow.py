import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
import scipy.ndimage
from jax.test_util import check_grads

from uad_jax.registration import flow
from uad_jax.registration.warp import grid, warp

SHAPES = [(24, 20), (12, 11, 13)]


def smooth_velocity(shape, size=1.5, seed=0):
  """A smooth field of about `size` voxels which vanishes at the border."""
  rng = np.random.default_rng(seed)
  v = np.zeros((2, *shape, len(shape)))
  inside = tuple(slice(3, -3) for _ in shape)
  for b in range(2):
    for c in range(len(shape)):
      noise = np.zeros(shape)
      noise[inside] = rng.normal(size=noise[inside].shape)
      v[b, ..., c] = scipy.ndimage.gaussian_filter(noise, 2.0)
  return (size * v / np.abs(v).max()).astype('float32')


def linear_field(shape, matrix):
  """u(p) = M (p - centre)."""
  points = np.asarray(grid(shape)) - (np.array(shape, 'float32') - 1) / 2
  return (points @ np.asarray(matrix, 'float32').T)[None]


@pytest.mark.parametrize('shape', SHAPES)
def test_inverse_undoes_the_exponential(shape):
  v = smooth_velocity(shape, 1.2)
  forth, back = jax.jit(flow.integrate)(v), jax.jit(flow.inverse)(v)
  assert np.abs(forth).max() > 1
  # T1 of the design: phi o phi^-1 within 0.1 voxel.
  assert np.abs(flow.compose(forth, back)).max() < 0.1
  assert np.abs(flow.compose(back, forth)).max() < 0.1


@pytest.mark.parametrize('shape', SHAPES)
def test_exponential_of_a_translation(shape):
  v = np.broadcast_to(np.float32(0.7), (1, *shape, len(shape)))
  np.testing.assert_allclose(flow.integrate(v), v, rtol=1e-5)


def test_exponential_of_a_linear_field():
  matrix = np.array([[0.05, -0.2], [0.15, -0.05]])
  got = flow.integrate(linear_field((33, 33), matrix), steps=10)
  # Oracle: scipy.linalg.expm; exp(v)(p) = expm(M) p, away from the border.
  want = linear_field((33, 33), scipy.linalg.expm(matrix) - np.eye(2))
  np.testing.assert_allclose(got[:, 8:-8, 8:-8], want[:, 8:-8, 8:-8], atol=5e-3)


def test_no_steps_is_the_identity():
  v = smooth_velocity((8, 8))
  np.testing.assert_array_equal(flow.integrate(v, steps=0), v)


@pytest.mark.parametrize('shape', SHAPES)
def test_compose_is_warp_after_warp(shape):
  points = np.asarray(grid(shape))[None]
  first, second = smooth_velocity(shape)[:1], smooth_velocity(shape, seed=1)[:1]
  # The coordinates as an image: bilinear interpolation is exact on them.
  twice = warp(warp(points, first), second)
  got = flow.compose(first, second) + points
  inside = (slice(None), *(slice(4, -4) for _ in shape))
  np.testing.assert_allclose(got[inside], np.asarray(twice)[inside], atol=1e-4)


@pytest.mark.parametrize('d', [2, 3])
def test_jacobian_of_linear_fields(d):
  matrix = np.random.default_rng(d).normal(size=(d, d), scale=0.4)
  u = linear_field((5, 6, 7)[:d], matrix)
  # Oracle: numpy.linalg.det and norm.
  want = np.linalg.det(np.eye(d) + matrix)
  np.testing.assert_allclose(flow.jacobian_determinant(u), want, rtol=1e-4, atol=1e-5)
  np.testing.assert_allclose(flow.strain(u), np.linalg.norm(matrix), rtol=1e-4)


def test_resize_keeps_an_expansion():
  """The same map on a grid twice as fine: displacements double, derivatives stay."""
  u = linear_field((8, 6), [[0.2, 0.1], [0.0, -0.1]])
  fine = flow.resize(u, (16, 12))
  inside = (slice(None), slice(2, -2), slice(2, -2))
  np.testing.assert_allclose(
    fine[inside], linear_field((16, 12), [[0.2, 0.1], [0.0, -0.1]])[inside], atol=1e-5
  )
  with pytest.raises(ValueError, match='not resizable'):
    flow.resize(u, (16, 12, 3))


def test_anisotropic_resize_scales_each_component():
  u = np.ones((1, 4, 4, 2), 'float32')
  got = flow.resize(u, (8, 2))
  np.testing.assert_allclose(got[..., 0], 2, rtol=1e-6)
  np.testing.assert_allclose(got[..., 1], 0.5, rtol=1e-6)


@pytest.mark.parametrize(
  'function',
  [
    lambda v: flow.integrate(v, 4),
    flow.jacobian_determinant,
    lambda v: flow.strain(v + 0.1 * v[..., ::-1]),
    lambda v: flow.resize(v, (8, 5)),
  ],
)
def test_gradients(function):
  v = np.random.default_rng(0).uniform(0.2, 0.4, (1, 5, 4, 2)).astype('float32')
  check_grads(jax.jit(function), (v,), 1, ('rev',), atol=2e-2, rtol=2e-2)


def test_gradients_are_finite_at_rest():
  zero = jnp.zeros((1, 4, 4, 4, 3))
  for function in (flow.strain, flow.integrate, flow.jacobian_determinant):
    grad = jax.jit(jax.grad(lambda v, f=function: f(v).sum()))(zero)
    assert jnp.isfinite(grad).all()
