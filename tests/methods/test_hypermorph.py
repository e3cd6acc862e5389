"""HyperMorph: one network for every weight, its loss, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tests.registration.shifted_scans import SHAPE, shifted
from uad_jax.methods import hypermorph
from uad_jax.nets.hypermorph import HyperField
from uad_jax.registration import flow, regularise
from uad_jax.registration.warp import warp
from uad_jax.update import init_state, make_update

TINY = dict(encoder=(4, 4), decoder=(4, 4, 4), hidden=(8, 8), smooth=0.0)


def moved(params, key):
  """The parameters with random directions, as after a training."""
  leaves, tree = jax.tree.flatten(params['field']['directions'])
  keys = jax.random.split(key, len(leaves))
  random = [
    0.2 * jax.random.normal(k, x.shape) for k, x in zip(keys, leaves, strict=True)
  ]
  return {'field': params['field'] | {'directions': jax.tree.unflatten(tree, random)}}


def test_a_weight_for_each_scan_is_that_weight_for_all(key):
  method, batch = hypermorph.make(SHAPE, **TINY), shifted(jnp.array([-1.0, 1.0]))
  params, stats = method.init(key, batch)
  params = moved(params, key)
  infer = jax.jit(method.infer)
  w = jnp.array([0.1, 0.9])
  both = infer(params, stats, batch | {'strength': w}, key)['velocity']
  network = HyperField(TINY['encoder'], TINY['decoder'], TINY['hidden'])
  for i, weight in enumerate(w):
    moving = jnp.zeros_like(batch['image'])  # no template was fitted
    same = {'params': params['field']}, moving, batch['image'], weight
    np.testing.assert_allclose(both[i], network.apply(*same)[i], atol=1e-5)
  assert float(jnp.abs(both).max()) > 0.01
  # Oracle: the hypernetwork and the affine maps by hand.
  h = np.array([0.1])
  for layer in ('Dense_0', 'Dense_1'):
    dense = params['field'][layer]
    h = np.maximum(h @ np.asarray(dense['kernel']) + np.asarray(dense['bias']), 0)
  by_hand = jax.tree.map(
    lambda x, d: x + np.einsum('k,k...->...', h, d),
    params['field']['start'],
    params['field']['directions'],
  )
  still = {**params['field'], 'start': by_hand}
  still['directions'] = jax.tree.map(jnp.zeros_like, still['directions'])
  again = infer({'field': still}, stats, batch | {'strength': w}, key)['velocity']
  np.testing.assert_allclose(again[0], both[0], atol=1e-5)


@pytest.mark.slow
def test_at_its_ends_the_loss_is_the_distance_or_the_roughness(key):
  method = hypermorph.make(SHAPE, **TINY, ends=1.0, noise=0.1)
  batch = shifted(jnp.array([-1.0, 1.0]))
  params, stats = method.init(key, batch)
  _, (stats, _) = method.objectives['usual'].loss(params, stats, batch, key, 0)
  params = moved(params, key)
  loss = jax.jit(method.objectives['field'].loss)
  values = {
    float(loss(params, stats, batch, jax.random.key(i), 0)[0]) for i in range(12)
  }
  expected = []
  mean = jnp.tile(batch['image'].mean(0, keepdims=True), (2, 1, 1, 1))
  for weight in (0.0, 1.0):
    asked = batch | {'strength': jnp.full(2, weight)}
    v = method.infer(params, stats, asked, key)['velocity']
    error = (batch['image'] - warp(mean, flow.exponential(v, SHAPE, 7))) ** 2
    parts = error.mean() / 0.01, regularise.gradient_energy(v).mean()
    expected.append(float(parts[int(weight)]))
  assert len(values) == 2
  np.testing.assert_allclose(sorted(values), sorted(expected), rtol=1e-4)


@pytest.mark.slow
def test_a_larger_weight_gives_a_smoother_field(optimised):
  method = hypermorph.make(
    SHAPE, **TINY | dict(encoder=(8, 8), decoder=(8, 8, 8)), noise=1.0
  )
  batch, key = shifted(jnp.linspace(-2, 2, 8)), jax.random.key(0)
  tx = {'field': optax.adam(3e-3)}
  state = jax.jit(lambda k: init_state(method, tx, k, batch))(key)
  update = make_update(method, tx, (1, 301, 302))
  state, _ = update(('usual',))(state, {'train': batch}, key)
  for _ in range(300):
    state, _ = update(('field',))(state, {'train': batch}, key)
  infer = jax.jit(method.infer)

  def measured(weight):
    asked = batch | {'strength': jnp.full(8, weight)}
    outputs = infer(state.params, state.stats, asked, key)
    mean = outputs['usual']
    error = (batch['image'] - warp(mean, outputs['displacement'])) ** 2
    roughness = regularise.gradient_energy(outputs['velocity'])
    return float(error.mean()), float(roughness.mean())

  soft, stiff = measured(0.2), measured(1.0)
  assert soft[0] < 0.5 * stiff[0] and soft[1] > 2 * stiff[1]


@pytest.mark.parametrize(
  'options, sentence',
  [
    (dict(weight=1.5), 'hypermorph: weight is 1.5; allowed is a number from 0 to 1'),
    (dict(noise=0.0), 'hypermorph: noise is 0.0; allowed is a number above 0'),
    (dict(ends=2.0), 'hypermorph: ends is 2.0'),
    (dict(hidden=()), 'hypermorph: hidden is ()'),
    (dict(similarity='mi'), "unknown similarity 'mi'"),
  ],
)
def test_impossible_options_are_refused(options, sentence):
  with pytest.raises(ValueError) as refused:
    hypermorph.make(SHAPE, **{**TINY, **options})
  assert sentence in str(refused.value)
