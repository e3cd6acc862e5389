"""Adaptations: what they change of a method, and what they leave."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tests.method_table import make_batch
from uad_jax.adapt import augment as augmented
from uad_jax.adapt import ema
from uad_jax.augmentation import image_transforms
from uad_jax.method import Method, Objective, due, init_state, make_update
from uad_jax.ops.losses import masked_mean


def recording():
  """A method whose fit keeps the batch, and whose loss is the mean intensity."""

  def init(key, batch):
    return {'net': {'w': jnp.ones(())}}, {'seen': jnp.zeros_like(batch['image'])}

  def loss(params, stats, batch, key, step):
    seen = batch['image']
    return params['net']['w'] * seen.mean(), (stats | {'seen': seen}, {})

  def fit(params, stats, batch, key, step):
    return jnp.zeros(()), (stats | {'seen': batch['image']}, {})

  objectives = {
    'trained': Objective(loss, ('net',)),
    'fitted': Objective(fit),
    'calibrated': Objective(fit, split='val'),
  }

  def infer(params, stats, batch, key):
    return {'reconstruction': batch['image'] * params['net']['w']}

  return Method(init, objectives, infer)


def seen_by(method, name, batch, key):
  params, stats = method.init(key, batch)
  loss = method.objectives[name].loss
  return np.asarray(loss(params, stats, batch, key, 0)[1][0]['seen'])


def test_flips_mirror_some_examples_whole_and_leave_the_others():
  batch, key = make_batch((8, 12), size=16), jax.random.key(3)
  method = augmented.make(flips=(0,))(recording())
  for name in ('trained', 'fitted'):
    seen = seen_by(method, name, batch, key)
    same = (seen == batch['image']).all((1, 2, 3))
    turned = (seen == batch['image'][:, ::-1]).all((1, 2, 3))
    assert (same | turned).all() and same.any() and turned.any()


def test_the_mask_is_mirrored_with_the_image():
  batch = make_batch((8, 12), size=16)
  batch['image'] = batch['image'] * 0 + np.arange(8.0)[:, None, None]
  batch['mask'] = batch['image'].copy()
  found = image_transforms.flip(jax.random.key(0), batch, 0)
  np.testing.assert_array_equal(found['image'], found['mask'])


def test_contrast_is_monotone_and_only_for_what_trains():
  batch, key = make_batch((8, 8), size=8), jax.random.key(1)
  method = augmented.make(flips=(), gamma=0.2, gain=0.1)(recording())
  np.testing.assert_array_equal(seen_by(method, 'fitted', batch, key), batch['image'])
  np.testing.assert_array_equal(
    seen_by(method, 'calibrated', batch, key), batch['image']
  )
  seen = seen_by(method, 'trained', batch, key)
  for before, after in zip(batch['image'], seen, strict=True):
    positive = before > 0
    assert not np.allclose(before[positive], after[positive])
    order = np.argsort(before[positive])
    assert (np.diff(after[positive][order]) >= 0).all()
    np.testing.assert_array_equal(after[~positive], before[~positive])


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


@pytest.mark.parametrize('name', ['rotate', 'scale', 'shift', 'shear', 'bias', 'noise'])
def test_every_change_is_an_option_that_fits_do_not_see(key, name):
  batch = make_batch((8, 12), size=4)
  plain = augmented.make(flips=())(recording())
  method = augmented.make(flips=(), **{name: 1.0})(recording())
  for objective in ('fitted', 'calibrated'):
    seen = seen_by(method, objective, batch, key)
    np.testing.assert_array_equal(seen, seen_by(plain, objective, batch, key))
  seen = seen_by(method, 'trained', batch, key)
  assert np.abs(seen - batch['image']).max() > 1e-3
  np.testing.assert_array_equal(seen, seen_by(method, 'trained', batch, key))
  assert not np.array_equal(seen, seen_by(method, 'trained', batch, jax.random.key(5)))


def test_the_draws_of_flips_and_contrast_are_those_of_stored_runs(key):
  """Their keys: a run that is stored with them would else train on other scans."""
  batch = make_batch((8, 12), size=16)
  own = jax.random.fold_in(key, augmented.SEED)
  expected = image_transforms.flip(jax.random.fold_in(own, 0), batch, 0)
  expected = image_transforms.contrast(jax.random.fold_in(own, 4), expected, 0.2, 0.1)
  method = augmented.make(gamma=0.2, gain=0.1)(recording())
  seen = seen_by(method, 'trained', batch, key)
  np.testing.assert_array_equal(seen, expected['image'])


def test_options_out_of_range_are_named(key):
  with pytest.raises(ValueError, match='rotate is -1; allowed are ranges from 0'):
    augmented.make(rotate=-1)
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
  for axis, n in enumerate(shape):  # far less from voxel to voxel than over the field
    assert np.abs(np.diff(log, axis=1 + axis)).max() < 0.3 * 2 * 4 / n * 1.5
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


def test_the_average_follows_the_parameters_and_is_what_infers():
  batch, key = make_batch((4, 4)), jax.random.key(0)
  method = ema.make(decay=0.5)(recording())
  tx = {'trained': optax.sgd(1.0)}
  state = init_state(method, tx, key, batch)
  update = make_update(method, tx, (4,))
  average = 1.0
  for step in range(4):
    names = due(method.objectives, (4,), step)
    splits = {method.objectives[n].split: batch for n in names}
    state, _ = update(names)(state, splits, key)
    rate = min(0.5, (1 + step) / (10 + step))
    average = rate * average + (1 - rate) * float(state.params['net']['w'])
  assert float(state.stats['ema']['net']['w']) == pytest.approx(average, rel=1e-5)
  inferred = method.infer(state.params, state.stats, batch, key)['reconstruction']
  np.testing.assert_allclose(inferred, batch['image'] * average, rtol=1e-5)
