"""Sphere of features: its loss, its centre, that it cannot collapse, and its map."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tests.method_table import make_batch
from uad_jax.methods import deep_svdd
from uad_jax.update import init_state, make_update

SHAPE = (16, 16)
TINY = dict(widths=(8, 4))


def trained(batch, steps=40, **options):
  method = deep_svdd.make(SHAPE, **TINY, **options)
  tx = {name: optax.adam(3e-3) for name in ('autoencoder', 'sphere')}
  key = jax.random.key(0)
  state = jax.jit(lambda k: init_state(method, tx, k, batch))(key)
  update = make_update(method, tx, (steps, steps + 1, 10**4))
  for name, count in (('autoencoder', steps), ('centre', 1), ('sphere', steps)):
    step, history = update((name,)), []
    for _ in range(count):
      state, metrics = step(state, {'train': batch}, key)
      history.append({k: float(v) for k, v in metrics.items()})
  return method, state, history


def test_the_sphere_shrinks_and_a_spot_lies_outside():
  batch = make_batch(SHAPE)
  method, state, history = trained(batch)
  assert history[-1]['sphere/distance'] < 0.7 * history[0]['sphere/distance']
  spot = jnp.zeros_like(batch['mask']).at[:, 6:10, 6:10].set(1.0)
  sick = {**batch, 'image': batch['image'] + 3 * spot}
  infer = jax.jit(method.infer)
  healthy, changed = (
    np.asarray(infer(state.params, state.stats, b, jax.random.key(0))['novelty'])
    for b in (batch, sick)
  )
  inside = np.asarray(spot * batch['mask']) > 0
  assert changed[inside].mean() > 3 * healthy[inside].mean()


def test_weights_of_zero_do_not_reach_the_centre(key):
  batch = make_batch(SHAPE)
  method = deep_svdd.make(SHAPE, **TINY, decay=0.0)
  params, stats = jax.jit(method.init)(key, batch)
  dead = params | {'encoder': jax.tree.map(jnp.zeros_like, params['encoder'])}
  _, (stats, _) = method.objectives['centre'].loss(params, stats, batch, key, 0)
  loss = jax.jit(method.objectives['sphere'].loss)
  value = float(loss(dead, stats, batch, key, 0)[0])
  assert value >= 4 * deep_svdd.NEAREST**2 * 0.999
  names = jax.tree_util.tree_leaves_with_path(params)
  assert not [path for path, _ in names if 'bias' in jax.tree_util.keystr(path)]


def test_the_soft_boundary_leaves_its_share_outside(key):
  batch = {**make_batch(SHAPE)}
  batch['mask'] = jnp.ones_like(batch['mask'])
  batch['weight'] = jnp.ones_like(batch['weight'])
  method = deep_svdd.make(SHAPE, **TINY, boundary='soft', nu=0.25, decay=0.0)
  params, stats = jax.jit(method.init)(key, batch)
  _, (stats, _) = method.objectives['centre'].loss(params, stats, batch, key, 0)
  value, (after, _) = method.objectives['sphere'].loss(params, stats, batch, key, 0)
  plain = deep_svdd.make(SHAPE, **TINY)
  features = np.asarray(plain.infer(params, stats, batch, key)['features'])
  mean = features.mean((0, 1, 2))
  centre = np.asarray(deep_svdd.away_from_zero(jnp.asarray(mean)))
  square = ((np.float64(features) - centre) ** 2).sum(-1)
  radius = np.quantile(square, 0.75)
  assert float(after['sphere']['radius']) == pytest.approx(radius, rel=1e-3)
  expected = radius + np.maximum(square - radius, 0).mean() / 0.25
  assert float(value) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize(
  'options, sentence',
  [
    (dict(boundary='hard'), "deep_svdd: unknown boundary 'hard'"),
    (dict(nu=0.0), 'deep_svdd: nu is 0.0; allowed is'),
    (dict(decay=-1.0), 'deep_svdd: decay is -1.0; allowed is'),
  ],
)
def test_a_mistake_is_one_sentence(options, sentence):
  with pytest.raises(ValueError, match=sentence):
    deep_svdd.make(SHAPE, **options)
