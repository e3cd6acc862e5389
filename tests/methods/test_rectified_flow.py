import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tests.method_table import make_batch
from uad_jax.registry import named
from uad_jax.update import init_state, make_update

SHAPE = (16, 16)
TINY = dict(widths=(4, 4), attention=0)


def replaced(monkeypatch, field):
  """Lets the velocity be `field(parameters, image, time)`, and returns the method."""

  class Network:
    def __init__(self, *sizes):
      pass

    def init(self, key, *inputs):
      return {'params': {'a': jnp.array(0.25)}}

    def apply(self, variables, image, time, vector):
      time = time.reshape(-1, *[1] * (image.ndim - 1)) / 1000
      return field(variables['params'], image, time)

  monkeypatch.setattr('uad_jax.methods.rectified_flow.DiffusionUNet', Network)
  return named('methods', 'rectified_flow')


def inferred(method, batch, a=0.25):
  infer = jax.jit(method.infer)
  return infer({'unet': {'a': jnp.array(a)}}, {}, batch, jax.random.key(0))


def loss_of(method, objective='flow'):
  return jax.jit(method.objectives[objective].loss)


@pytest.mark.parametrize('shape', [(16, 16), (8, 8, 8)], ids=['2d', '3d'])
@pytest.mark.parametrize('steps', [1, 3])
def test_between_two_constant_images_one_step_is_exact(monkeypatch, shape, steps):
  # Oracle: from 0.9 to 0.4 the velocity is -0.5 everywhere on the line.
  make = replaced(monkeypatch, lambda params, image, time: -0.5 + 0 * image)
  batch = make_batch(shape)
  mask = batch['mask']
  outputs = inferred(make(shape, steps=steps), {**batch, 'image': 0.9 * mask})
  np.testing.assert_allclose(outputs['reconstruction'], 0.4 * mask, atol=1e-6)
  np.testing.assert_allclose(outputs['restored'], 0.5 * mask, atol=1e-6)


def test_euler_steps_are_those_of_the_closed_form(monkeypatch):
  # Oracle: x' = a x + t has x_K = x (1 + a / K)^K + sum of t_k (1 + a / K)^(K - 1 - k).
  make = replaced(monkeypatch, lambda params, image, time: params['a'] * image + time)
  batch, number, a = make_batch(SHAPE), 4, -0.5
  outputs = inferred(make(SHAPE, steps=number), batch, a)
  growth = 1 + a / number
  pushed = sum(k / number**2 * growth ** (number - 1 - k) for k in range(number))
  expected = (batch['image'] * growth**number + pushed) * batch['mask']
  np.testing.assert_allclose(outputs['reconstruction'], expected, atol=1e-5)


def test_the_loss_vanishes_for_the_velocity_of_the_pairs_alone(monkeypatch):
  """Oracle: the velocity of an image without anomaly is 0, the error of a is a^2."""
  make = replaced(monkeypatch, lambda params, image, time: params['a'] + 0 * image)
  batch, key = make_batch(SHAPE), jax.random.key(2)
  healthy = loss_of(make(SHAPE, share=0.0))
  for a in (0.0, 0.3):
    error, _ = healthy({'unet': {'a': jnp.array(a)}}, {}, batch, key, 0)
    np.testing.assert_allclose(error, a**2, rtol=1e-5)
  painted = loss_of(make(SHAPE, share=1.0))
  error, (_, metrics) = painted({'unet': {'a': jnp.array(0.0)}}, {}, batch, key, 0)
  assert error > 0
  np.testing.assert_allclose(metrics['left'], 1.0, rtol=1e-5)


def test_the_reflow_of_a_constant_flow_is_straight_and_that_of_another_is_not(
  monkeypatch,
):
  """A velocity that is constant along each line has no loss against its own ends."""
  batch, key = make_batch((8, 8), 400), jax.random.key(4)
  losses = []
  for rate in (0.0, 1.0):  # v = a + rate t: with rate 1 the velocity is not constant
    make = replaced(
      monkeypatch, lambda params, image, time, rate=rate: params['a'] + rate * time
    )
    method = make((8, 8), reflow=4)
    params, stats = method.init(key, batch)
    losses.append(loss_of(method, 'reflow')(params, stats, batch, key, 0)[0])
  # z - x_1 = a + 3 / 8 (the mean of 0, 1/4, 2/4, 3/4); the mean of (t - 3 / 8)^2 is
  assert losses[0] < 1e-10
  np.testing.assert_allclose(losses[1], 1 / 12 + 1 / 64, rtol=0.2)


def test_the_teacher_is_the_flow_at_the_start_of_the_second_stage(monkeypatch):
  make = replaced(monkeypatch, lambda params, image, time: params['a'] + 0 * image)
  method, batch = make(SHAPE, reflow=2), make_batch(SHAPE)
  key = jax.random.key(5)
  _, stats = method.init(key, batch)
  assert set(stats) == set(method.kinds) == {'teacher'}
  loss = loss_of(method, 'reflow')

  def at(a, stats, step):
    error, (stats, _) = loss({'unet': {'a': jnp.array(a)}}, stats, batch, key, step)
    return error, stats

  error, stats = at(0.7, stats, 0)
  np.testing.assert_allclose([error, stats['teacher']['a']], [0.0, 0.7], atol=1e-10)
  error, stats = at(0.2, stats, 1)
  np.testing.assert_allclose([error, stats['teacher']['a']], [0.25, 0.7], rtol=1e-5)


@pytest.mark.slow
@pytest.mark.slow
def test_both_stages_train_and_the_teacher_stays(key):
  """The second stage leaves the teacher as it is and trains away from it."""
  method = named('methods', 'rectified_flow')(SHAPE, reflow=2, **TINY)
  batch = make_batch(SHAPE)
  tx = {name: optax.adam(1e-3) for name in method.objectives}
  state = jax.jit(lambda key: init_state(method, tx, key, batch))(key)
  teachers = []
  update = make_update(method, tx, (3, 6))
  for name in 3 * ['flow'] + 3 * ['reflow']:
    before = jax.device_get(state.params['unet'])
    state, metrics = update((name,))(state, {'train': batch}, key)
    assert np.isfinite(metrics[f'{name}/loss'])
    if name == 'reflow':
      teachers.append((before, jax.device_get(state.stats['teacher'])))
  (start, first), *_, (end, last) = teachers
  jax.tree.map(np.testing.assert_array_equal, start, first)
  jax.tree.map(np.testing.assert_array_equal, first, last)
  assert any(jax.tree.leaves(jax.tree.map(lambda a, b: (a != b).any(), end, last)))


def test_padding_and_background_do_not_count(monkeypatch):
  make = replaced(monkeypatch, lambda params, image, time: 0.1 - 0.3 * image)
  loss = loss_of(make(SHAPE, painters=('texture',)))
  batch = make_batch(SHAPE)
  batch['weight'][-1] = 0
  other = {name: value.copy() for name, value in batch.items()}
  other['image'][-1] *= 0.3
  other['image'] += 7.0 * (1 - other['mask'])
  losses = [loss({'unet': {}}, {}, b, jax.random.key(1), 0)[0] for b in (batch, other)]
  np.testing.assert_allclose(*losses, rtol=1e-6)
  maps = [inferred(make(SHAPE), b)['restored'] for b in (batch, other)]
  np.testing.assert_allclose(maps[0][:-1], maps[1][:-1], atol=1e-6)


@pytest.mark.parametrize(
  'options, message',
  [
    (dict(painters=()), 'number of painters is 0; allowed is a whole number of 1'),
    (dict(painters=('swirl',)), "rectified_flow: unknown painter 'swirl'; there are"),
    (dict(share=2.0), 'rectified_flow: share is 2.0; allowed is a number from 0 to 1'),
    (dict(steps=0), 'rectified_flow: steps is 0; allowed is a whole number of 1'),
    (dict(reflow=-1), 'rectified_flow: reflow is -1; allowed is a whole number of 0'),
    (dict(polarity='up'), "rectified_flow: unknown polarity 'up'; there are both"),
  ],
)
def test_wrong_options_are_named(options, message):
  with pytest.raises(ValueError, match=message):
    named('methods', 'rectified_flow')(SHAPE, **options)
