"""Spaces of perturbations against numpy, finite changes and dense Jacobians."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.method_table import make_batch
from uad_jax.augmentation import perturbation_spaces
from uad_jax.ops.inner_maximisation import maximise, voxel_shares

NODES = 3


def two_contrasts(shape):
  batch = make_batch(shape, 3)
  image = np.abs(batch['image'])
  batch['image'] = np.concatenate([image, 0.5 * image**2], -1)
  batch['mask'][1, :3] = 0  # the image goes on in the background of scan 1
  return batch


@pytest.mark.parametrize('shape', [(8, 9), (6, 5, 7)])
def test_a_field_changes_the_brain_only_and_zero_is_the_identity(key, shape):
  batch = two_contrasts(shape)
  space = perturbation_spaces.field(batch, NODES)
  assert space.start.shape == (3, NODES ** len(shape) + 1)
  np.testing.assert_array_equal(space.image(space.start), batch['image'])
  z = 0.3 * jax.random.normal(key, space.start.shape)
  moved = np.asarray(space.image(z))
  inside = np.broadcast_to(batch['mask'] > 0, moved.shape) & (batch['image'] > 0)
  np.testing.assert_array_equal(moved[~inside], batch['image'][~inside])
  assert (moved[inside] != batch['image'][inside]).mean() > 0.99


def test_a_constant_field_is_a_gain_and_the_exponent_a_power():
  batch = two_contrasts((8, 9))
  image, mask = batch['image'], batch['mask']
  z = np.zeros((3, NODES**2 + 1), np.float32)
  z[:, :-1], z[:, -1] = np.arctanh(0.2), np.arctanh(-0.3)  # the limit is 1
  moved = perturbation_spaces.field_and_gamma(image, mask, z, NODES)
  expected = np.where(mask > 0, np.exp(0.2) * image ** np.exp(-0.3), image)
  np.testing.assert_allclose(moved, expected, rtol=1e-5)


@pytest.mark.parametrize('shape', [(8, 9), (6, 5, 7)])
def test_the_metric_is_the_mean_square_of_the_linear_change(key, shape):
  batch = two_contrasts(shape)
  space = perturbation_spaces.field(batch, NODES)
  # A dense Jacobian by jax, squared and averaged over brain voxels by numpy.
  jacobian = np.asarray(jax.jacfwd(space.image)(space.start), np.float64)
  u = np.asarray(jax.random.normal(key, space.start.shape), np.float64)
  change = np.tensordot(jacobian, u, 2)
  inside = np.broadcast_to(batch['mask'] > 0, change.shape)
  expected = (change[inside] ** 2).mean()
  shares = voxel_shares(batch['mask'], batch['weight'])
  metric = perturbation_spaces.field_metric(jnp.asarray(batch['image']), shares, NODES)
  square = np.einsum('bk,bkl,bl->', u, np.asarray(metric, np.float64), u)
  assert square == pytest.approx(expected, rel=1e-4)
  # The cost is of the image itself, whose change is linear near 0.
  assert float(space.cost.value(1e-2 * u)) == pytest.approx(1e-4 * expected, rel=0.1)


def test_the_best_field_is_that_of_its_closed_form(key):
  """l = u' M v, v small: the best is v / (2 gamma), the gain v' M v / (4 gamma)."""
  batch = two_contrasts((8, 9))
  batch['weight'][2] = 0
  space = perturbation_spaces.field(batch, NODES)
  shares = voxel_shares(batch['mask'], batch['weight'])
  metric = perturbation_spaces.field_metric(jnp.asarray(batch['image']), shares, NODES)
  v = np.asarray(1e-2 * jax.random.normal(key, space.start.shape))
  slope = np.einsum('bkl,bl->bk', metric, v)
  gamma = 2.0
  z = maximise(lambda z: (slope * z).sum(), space.start, space.cost, gamma, 300)
  gain = (slope * np.asarray(z)).sum() - gamma * float(space.cost.value(z))
  assert gain == pytest.approx((slope * v).sum() / (4 * gamma), rel=0.02)
  assert not np.asarray(z[2]).any()  # padding


def test_coefficients_are_bounded():
  batch = two_contrasts((8, 9))
  space = perturbation_spaces.field(batch, NODES)
  z = np.full(space.start.shape, 50.0, np.float32)
  z[:, -1] = -50.0
  moved = np.asarray(space.image(z))
  expected = np.exp(1.0) * batch['image'] ** np.exp(-1.0)
  inside = np.broadcast_to(batch['mask'] > 0, moved.shape)
  np.testing.assert_allclose(moved[inside], expected[inside], rtol=1e-4)


def test_an_unknown_space_is_named():
  with pytest.raises(
    ValueError, match="unknown space 'fields'; there are pixel, field"
  ):
    perturbation_spaces.make(two_contrasts((8, 9)), 'fields', NODES)
