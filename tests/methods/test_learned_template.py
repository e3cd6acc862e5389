"""Learned templates: sharp, central, dependent on the height; the loss as published."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tests.registration.shifted_scans import SHAPE, shifted
from tests.registration.warped_blobs import blobs
from uad_jax.methods import learned_template
from uad_jax.registration import flow, regularise
from uad_jax.registration.warp import warp
from uad_jax.update import init_state, make_update

TINY = dict(encoder=(8, 8), decoder=(8, 8, 8), smooth=0.0, similarity='mse')


def test_the_loss_is_that_of_the_paper_with_a_running_mean(key):
  weights = dict(smoothness=0.3, magnitude=0.2, centring=0.5)
  method = learned_template.make(SHAPE, **TINY, **weights, memory=2)
  batch = shifted(jnp.array([-1.0, 1.0]))
  params, stats = method.init(key, batch)
  _, (stats, _) = method.objectives['usual'].loss(params, stats, batch, key, 0)
  head = params['field']['field']
  head['kernel'] = 0.1 * jax.random.normal(key, head['kernel'].shape)
  params['template']['image'] += 0.1
  outputs = method.infer(params, stats, batch, key)
  u, v = (np.asarray(outputs[name]) for name in ('displacement', 'velocity'))
  mean = jnp.tile(batch['image'].mean(0, keepdims=True), (2, 1, 1, 1)) + 0.1
  fixed = float(((batch['image'] - warp(mean, u)) ** 2).mean())
  fixed += 0.3 * float(regularise.gradient_energy(v).mean())
  fixed += 0.2 * (u**2).sum(-1).mean()
  # The mean of the first step, then of all until the memory is full.
  centre, loss = u.mean(0), jax.jit(method.objectives['field'].loss)
  for count in (1, 2, 3):
    value, (stats, _) = loss(params, stats, batch, key, 0)
    expected = fixed + 0.5 * (centre**2).sum(-1).mean()
    np.testing.assert_allclose(value, expected, rtol=1e-4)
    np.testing.assert_allclose(stats['centre'], centre, atol=1e-6)
    assert float(stats['centre_count']) == count


def trained(batch, steps, **options):
  method, key = learned_template.make(SHAPE, **TINY, **options), jax.random.key(0)
  tx = {'field': optax.adam(3e-3)}
  state = jax.jit(lambda k: init_state(method, tx, k, batch))(key)
  update = make_update(method, tx, (1, 1 + steps, 2 + steps))
  state, _ = update(('usual',))(state, {'train': batch}, key)
  for _ in range(steps):
    state, _ = update(('field',))(state, {'train': batch}, key)
  return method, state


@pytest.mark.slow
def test_the_template_becomes_sharper_than_the_mean(optimised):
  batch = shifted(jnp.linspace(-3, 3, 8))
  method, state = trained(batch, 300, smoothness=0.01, magnitude=0.0)
  usual = jax.jit(method.infer)(state.params, state.stats, batch, jax.random.key(1))[
    'usual'
  ][:1]
  template = usual + state.params['template']['image'][None]
  truth = blobs(SHAPE)
  inside = (slice(None), slice(4, -4), slice(4, -4))

  def error(image):
    return float((jnp.abs(image - truth))[inside].mean())

  def slope(image):
    return float((flow.gradient(image) ** 2)[inside].mean())

  assert slope(usual) < 0.8 * slope(truth) and slope(template) > 1.1 * slope(usual)
  assert error(template) < 0.5 * error(usual)


@pytest.mark.slow
def test_the_height_changes_the_template(optimised):
  scans = shifted(jnp.zeros(8))
  height = jnp.linspace(0, 1, 8)
  batch = scans | {
    'image': scans['image'] * (0.5 + height[:, None, None, None]),
    'position': height,
  }
  options = dict(attribute='height', template=(8, 8), smoothness=10.0, magnitude=10.0)
  method, state = trained(batch, 150, **options)
  # One mean for all heights, so that only the decoder can follow the height.
  loss = method.objectives['field'].loss
  key = jax.random.key(0)
  after = float(loss(state.params, state.stats, batch, key, 0)[1][1]['data'])
  fresh, _ = method.init(key, batch)
  before = float(loss(fresh, state.stats, batch, key, 0)[1][1]['data'])
  assert after < 0.3 * before


@pytest.mark.parametrize(
  'options, sentence',
  [
    (dict(attribute='age'), "unknown attribute 'age'; there are none, height"),
    (dict(centring=-1.0), 'learned_template: centring is -1.0'),
    (dict(memory=0), 'learned_template: memory is 0'),
  ],
)
def test_impossible_options_are_refused(options, sentence):
  with pytest.raises(ValueError, match=sentence):
    learned_template.make(SHAPE, **{**TINY, **options})
