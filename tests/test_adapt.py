"""Adaptations: what they change of a method, and what they leave."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tests.test_methods import make_batch
from uad_jax.adapt import augment, ema
from uad_jax.method import Method, Objective, due, init_state, make_update


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
  method = augment.make(flips=(0,))(recording())
  for name in ('trained', 'fitted'):
    seen = seen_by(method, name, batch, key)
    same = (seen == batch['image']).all((1, 2, 3))
    turned = (seen == batch['image'][:, ::-1]).all((1, 2, 3))
    assert (same | turned).all() and same.any() and turned.any()


def test_the_mask_is_mirrored_with_the_image():
  batch = make_batch((8, 12), size=16)
  batch['image'] = batch['image'] * 0 + np.arange(8.0)[:, None, None]
  batch['mask'] = batch['image'].copy()
  found = augment.flip(jax.random.key(0), batch, 0)
  np.testing.assert_array_equal(found['image'], found['mask'])


def test_contrast_is_monotone_and_only_for_what_trains():
  batch, key = make_batch((8, 8), size=8), jax.random.key(1)
  method = augment.make(flips=(), gamma=0.2, gain=0.1)(recording())
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
