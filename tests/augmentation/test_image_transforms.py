"""Random transforms of images and masks against numpy and closed forms."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.method_table import make_batch
from uad_jax.augmentation import image_transforms
from uad_jax.ops.losses import masked_mean


def test_the_mask_is_mirrored_with_the_image():
  batch = make_batch((8, 12), size=16)
  batch['image'] = batch['image'] * 0 + np.arange(8.0)[:, None, None]
  batch['mask'] = batch['image'].copy()
  found = image_transforms.flip(jax.random.key(0), batch, 0)
  np.testing.assert_array_equal(found['image'], found['mask'])


def turned_off(key, batch):
  yield image_transforms.affine(key, batch)
  yield image_transforms.contrast(key, batch, 0.0, 0.0)
  yield image_transforms.bias(key, batch, 0.0)
  yield image_transforms.noise(key, batch, 0.0)


@pytest.mark.parametrize('shape', [(8, 10), (6, 7, 8)])
def test_a_change_of_strength_zero_changes_no_bit(key, shape):
  batch = make_batch(shape)
  batch['image'] *= batch['image'] > 0
  for found in turned_off(key, batch):
    for name in ('image', 'mask'):
      np.testing.assert_array_equal(found[name], batch[name])


def test_an_axis_out_of_range_is_named(key):
  with pytest.raises(ValueError, match='axis 2 of images .* allowed are 0 to 1'):
    image_transforms.flip(key, make_batch((8, 8)), 2)


def quarter_turn(d):
  """A quarter turn of the plane of the first two axes."""
  return jnp.eye(d).at[:2, :2].set(jnp.array([[0.0, -1.0], [1.0, 0.0]]))


@pytest.mark.parametrize('shape', [(9, 9), (8, 8, 5)])
@pytest.mark.parametrize('turns', [1, 2, 3])
def test_quarter_turns_are_those_of_numpy(shape, turns):
  batch, d = make_batch(shape), len(shape)
  batch['mask'][:, :3, :4] = 0
  batch['image'] *= batch['mask']
  linear = jnp.linalg.matrix_power(quarter_turn(d), turns)
  linear = jnp.broadcast_to(linear, (4, d, d))
  found = jax.jit(image_transforms.moved)(batch, linear, jnp.zeros((4, d)))
  for name in ('image', 'mask'):
    expected = np.rot90(batch[name], -turns, axes=(1, 2))
    assert not np.array_equal(expected, batch[name])
    np.testing.assert_allclose(found[name], expected, atol=1e-5)


@pytest.mark.parametrize('shape', [(9, 8), (6, 7, 8)])
def test_a_shift_by_whole_voxels_rolls(shape):
  batch, d = make_batch(shape), len(shape)
  batch['image'] *= batch['mask']
  linear = jnp.broadcast_to(jnp.eye(d), (4, d, d))
  found = image_transforms.moved(batch, linear, jnp.zeros((4, d)).at[:, 1].set(2))
  for name in ('image', 'mask'):
    np.testing.assert_allclose(found[name][:, :, :-2], batch[name][:, :, 2:], atol=1e-6)
    assert not found[name][:, :, -2:].any()


@pytest.mark.parametrize('shape', [(24, 20), (12, 14, 10)])
def test_an_affine_moves_mask_and_image_together(key, shape):
  batch = make_batch(shape, size=6)
  batch['image'] = batch['mask'].copy()
  options = dict(rotate=20.0, scale=0.2, shift=2.0, shear=0.1)
  move = jax.jit(lambda key, batch: image_transforms.affine(key, batch, **options))
  found = move(key, batch)
  mask, image = np.asarray(found['mask']), np.asarray(found['image'])
  assert set(np.unique(mask)) == {0, 1} and not image[mask == 0].any()
  assert np.abs(mask - batch['mask']).mean((1, *range(2, mask.ndim))).min() > 0
  inner = image[mask > 0]
  assert (inner > 0.4).mean() > 0.98  # but at the grid's edge, beyond which is 0
  volume = mask.sum(tuple(range(1, mask.ndim))) / batch['mask'][0].sum()
  assert np.ptp(volume) > 0.02  # each example has its own scale


def test_a_rotation_stays_in_its_range(key):
  """A point far from the centre tells the angle."""
  batch = make_batch((65, 65), size=64)
  x, y = np.meshgrid(*[np.arange(65.0)] * 2, indexing='ij')
  spot = np.exp(-((x - 32) ** 2 + (y - 56) ** 2) / 8)[..., None]
  batch['image'] = np.broadcast_to(spot, batch['image'].shape).astype(np.float32)
  batch['mask'] = np.ones_like(batch['mask'])
  image = np.asarray(image_transforms.affine(key, batch, rotate=30.0)['image'])[..., 0]
  weight = image / image.sum((1, 2), keepdims=True)
  angle = np.arctan2((weight * (x - 32)).sum((1, 2)), (weight * (y - 32)).sum((1, 2)))
  assert 25 < np.abs(np.degrees(angle)).max() < 30.5
  assert np.degrees(angle).min() < -15 and np.degrees(angle).max() > 15


@pytest.mark.parametrize('shape', [(32, 24), (16, 12, 14)])
def test_a_bias_field_is_smooth_and_of_mean_log_0_in_the_mask(key, shape):
  batch = make_batch(shape)
  coarse = jax.random.uniform(key, (4, *[4] * len(shape)), minval=-0.3, maxval=0.3)
  log = jnp.log(image_transforms.bias_field(coarse, batch['mask']))
  mean = jax.vmap(masked_mean)(log, batch['mask'])
  np.testing.assert_allclose(mean, 0, atol=1e-6)
  assert 0.05 < log.std() < 0.3
  # Cubics between 4 points are at most 1.5 times as steep as a line along an axis, and
  # exceed the points by at most a quarter along each other axis.
  steepest = 0.3 * 2 * 4 * 1.5 * 1.25 ** (len(shape) - 1)
  for axis, n in enumerate(shape):
    assert np.abs(np.diff(log, axis=1 + axis)).max() < steepest / n
  found = jax.jit(image_transforms.bias, static_argnums=2)(key, batch, 0.3)
  outside = np.asarray(batch['image']) == 0
  assert not np.asarray(found['image'])[outside].any()


def test_noise_has_its_deviation_in_the_mask_only(key):
  batch = make_batch((64, 64), size=32)
  batch['image'] = np.repeat(batch['image'], 2, -1)
  found = jax.jit(image_transforms.noise, static_argnums=2)(key, batch, 0.1)
  added = np.asarray(found['image']) - batch['image']
  inside = np.broadcast_to(batch['mask'] > 0, added.shape)
  assert not added[~inside].any()
  sigma = np.array([a[i].std() for a, i in zip(added, inside, strict=True)])
  assert sigma.max() < 0.105 and sigma.min() < 0.02
  # The mean square of a uniform number in [0, s] is s^2 / 3.
  assert math.sqrt((sigma**2).mean()) == pytest.approx(0.1 / math.sqrt(3), rel=0.2)
  assert abs(added[inside].mean()) < 1e-3
