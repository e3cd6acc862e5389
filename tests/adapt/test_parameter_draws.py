"""Adaptations that infer with several sets of parameters, on known posteriors."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tests.method_table import ROWS, make_batch
from uad_jax.adapt import ema, ensemble, laplace, swag
from uad_jax.method import Method, Objective, bind
from uad_jax.registry import named
from uad_jax.scores import uncertainty
from uad_jax.update import due, init_state, make_update

USUAL = [('ae', 'ensemble'), ('vae', 'swag'), ('dae_unc', 'ensemble')]
LAYERS = {'ae': 'autoencoder/Head_0', 'vae': 'decoder/Head_1', 'dae_unc': 'heads'}


def linear():
  """Regression of the image on three fixed features, by a squared error."""

  def features(batch):
    x = batch['position'].reshape(-1, 1, 1, 1) * jnp.ones_like(batch['mask'])
    rows = jnp.linspace(-1, 1, batch['mask'].shape[1]).reshape(1, -1, 1, 1)
    return jnp.concatenate([jnp.ones_like(x), x, rows * jnp.ones_like(x)], -1)

  def init(key, batch):
    return {'net': {'w': jax.random.normal(key, (3,))}}, {}

  def predict(params, batch):
    return (features(batch) @ params['net']['w'])[..., None]

  def loss(params, stats, batch, key, step):
    noise = 0.1 * jax.random.normal(key, batch['image'].shape)
    error = (batch['image'] + noise - predict(params, batch)) ** 2
    return (error * batch['mask']).mean(), (stats, {'mse': error.mean()})

  def infer(params, stats, batch, key):
    return {'reconstruction': predict(params, batch)}

  return Method(init, {'fit': Objective(loss, ('net',))}, infer), features


def run(method, batch, steps, rate=0.05, key=7):
  tx = {n: optax.sgd(rate) for n, o in method.objectives.items() if o.trains}
  ends = steps if isinstance(steps, tuple) else (steps,)
  key = jax.random.key(key)
  state = init_state(method, tx, key, batch)
  update, path = make_update(method, tx, ends), []
  for step in range(ends[-1]):
    names = due(method.objectives, ends, step)
    splits = {method.objectives[n].split: batch for n in names}
    state, _ = update(names)(state, splits, key)
    path.append(jax.device_get(state.params))
  return state, path


def test_members_of_an_ensemble_train_as_if_alone():
  plain, _ = linear()
  method, batch = ensemble.make(members=3)(plain), make_batch((6, 6))
  params, stats = method.init(jax.random.key(0), batch)
  keys = jax.random.split(jax.random.key(1), 3)
  loss, fit = method.objectives['fit'].loss, plain.objectives['fit'].loss
  value, grads = jax.value_and_grad(
    lambda p: loss(p, stats, batch, jax.random.key(1), 0)[0]
  )(params)
  alone = []
  for member in range(3):
    own = jax.tree.map(lambda x, m=member: x[m], params)
    alone.append(
      jax.value_and_grad(lambda p, k=keys[member]: fit(p, {}, batch, k, 0)[0])(own)
    )
  np.testing.assert_allclose(value, np.mean([v for v, _ in alone]), rtol=1e-5)
  want = np.stack([g['net']['w'] for _, g in alone])
  np.testing.assert_allclose(grads['net']['w'], want, rtol=1e-4, atol=1e-6)
  assert np.abs(np.diff(params['net']['w'], axis=0)).min() > 1e-3


def test_members_one_after_the_other_are_those_at_once(monkeypatch):
  own, shared = {'a': jnp.arange(6.0).reshape(3, 2)}, jnp.array([1.0, -1.0])
  axes = (0, None)

  def function(tree, scale):
    return {'b': (tree['a'] * scale).sum(), 'c': tree['a']}

  one_by_one = ensemble.mapped(function, axes, 3)(own, shared)
  monkeypatch.setattr(jax, 'default_backend', lambda: 'gpu')
  at_once = ensemble.mapped(function, axes, 3)(own, shared)
  assert one_by_one.keys() == at_once.keys() == {'b', 'c'}
  np.testing.assert_array_equal(one_by_one['b'], [-1, -1, -1])
  for name, value in one_by_one.items():
    np.testing.assert_array_equal(value, at_once[name])


def test_an_ensemble_gives_means_and_mixture_variances():
  def infer(params, stats, batch, key):
    shape = batch['image'].shape
    return {
      'reconstruction': jnp.full(shape, params['m']),
      'reconstruction_log_variance': jnp.full(shape, jnp.log(params['m'])),
    }

  def init(key, batch):
    return {'m': jax.random.uniform(key, minval=1.0, maxval=2.0)}, {}

  method, batch = ensemble.make(members=4)(Method(init, {}, infer)), make_batch((4, 4))
  params, stats = method.init(jax.random.key(3), batch)
  outputs = method.infer(params, stats, batch, jax.random.key(0))
  mean = params['m'].mean()
  np.testing.assert_allclose(outputs['reconstruction'], mean, rtol=1e-6)
  variance = jnp.exp(outputs['reconstruction_log_variance'])
  np.testing.assert_allclose(variance, mean, rtol=1e-5)
  found = outputs['reconstruction_members'][0, :, 0, 0, 0]
  np.testing.assert_allclose(found, params['m'], rtol=1e-6)


def test_swag_has_the_moments_of_the_path():
  start, every, rank = 10, 3, 4
  batch = make_batch((6, 6))
  method = swag.make(start, every, rank)(linear()[0])
  state, path = run(method, batch, 40)
  kept = [p['net']['w'] for i, p in enumerate(path) if i >= start and i % every == 0]
  moments = state.stats['swag']['net']
  assert moments['count'] == len(kept)
  np.testing.assert_allclose(moments['mean']['w'], np.mean(kept, 0), rtol=1e-5)
  scatter = np.var(kept, 0) * len(kept)
  np.testing.assert_allclose(moments['scatter']['w'], scatter, rtol=1e-3, atol=1e-8)
  running = [kept[i] - np.mean(kept[: i + 1], 0) for i in range(len(kept))]
  want = np.array(running[-rank:])
  found = np.asarray(moments['deviations']['w'])
  places = [(len(kept) - rank + i) % rank for i in range(rank)]
  np.testing.assert_allclose(found[places], want, rtol=1e-3, atol=1e-6)

  def draw(key):
    return swag.draw(key, moments, state.params['net'], 2.0)['w']

  drawn = jax.vmap(draw)(jax.random.split(jax.random.key(0), 20000))
  covariance = np.diag(np.var(kept, 0)) / 2 + want.T @ want / (2 * (rank - 1))
  np.testing.assert_allclose(
    np.cov(drawn.T), 4 * covariance, rtol=0.1, atol=4 * 0.03 * covariance.max()
  )


def test_laplace_is_the_posterior_of_a_linear_regression():
  plain, features = linear()
  method = laplace.make('net/w', precision=2.0, samples=4000)(plain)
  batch = make_batch((6, 6))
  state, _ = run(method, batch, (200, 201), rate=0.2)
  x = np.asarray(features(batch))[batch['mask'][..., 0] > 0]
  y = batch['image'][batch['mask'] > 0]
  w = np.asarray(state.params['net']['w'])
  noise = np.mean((y - x @ w) ** 2)
  covariance = np.linalg.inv(x.T @ x / noise + 2.0 * np.eye(3))  # the closed form
  outputs = method.infer(state.params, state.stats, batch, jax.random.key(0))
  drawn = np.asarray(outputs['reconstruction_members'])[0, :, 2, :, 0]
  row = np.asarray(features(batch))[0, 2]
  want = np.einsum('vi,ij,vj->v', row, covariance, row)
  np.testing.assert_allclose(drawn.var(0), want, rtol=0.1)
  np.testing.assert_allclose(
    outputs['reconstruction'][0, 2, :, 0], row @ w, rtol=1e-4, atol=1e-5
  )


@pytest.mark.slow
@pytest.mark.parametrize(
  'name, adaptation',
  [
    # Each method at least once; the others take many times as long.
    pytest.param(
      name,
      adaptation,
      marks=() if (name, adaptation) in USUAL else pytest.mark.slow,
    )
    for name in LAYERS
    for adaptation in ('ensemble', 'swag', 'laplace')
  ],
)
def test_members_lead_to_maps(name, adaptation, key):
  shape, options, _ = ROWS[name]
  make = {
    'ensemble': lambda: ensemble.make(members=2),
    'swag': lambda: swag.make(start=1, every=1, rank=2, samples=2),
    'laplace': lambda: laplace.make(
      LAYERS[name], 'prior' if name == 'dae_unc' else 'reconstruction', samples=2
    ),
  }[adaptation]
  method = make()(named('methods', name)(shape, **options))
  batch = make_batch(shape)
  of = 'prior' if name == 'dae_unc' else 'reconstruction'
  score = uncertainty.make('members', 'deviation', of=of)

  @jax.jit
  def deviation(key):
    params, stats = method.init(key, batch)
    for step in range(3):
      noisy = jax.tree.map(
        lambda p, s=step: p + 0.01 * jax.random.normal(jax.random.key(s), p.shape),
        params,
      )
      for label, objective in method.objectives.items():
        if not objective.trains and label.startswith(adaptation):
          _, (stats, _) = objective.loss(noisy, stats, batch, key, step + 1)
    return score(bind(method, params, stats), batch, key)

  found = np.asarray(deviation(key))
  assert found.shape == batch['mask'].shape and np.isfinite(found).all()
  assert found[batch['mask'] > 0].mean() > 1e-6


@pytest.mark.parametrize('outer, inner', [(swag, ema), (ema, swag)])
def test_averages_and_draws_of_parameters_exclude_each_other(outer, inner):
  adapted = inner.make()(linear()[0])
  with pytest.raises(ValueError, match='infers with its trained parameters; here'):
    outer.make()(adapted)


def test_laplace_names_the_layers_that_there_are():
  method = laplace.make('net/b')(linear()[0])
  with pytest.raises(ValueError, match="no layer 'net/b'; there are w"):
    method.init(jax.random.key(0), make_batch((4, 4)))


@pytest.mark.parametrize(
  'make, message',
  [
    (lambda: ensemble.make(members=1), 'members is 1'),
    (lambda: swag.make(start=0), 'start is 0'),
    (lambda: swag.make(rank=1), 'rank is 1'),
    (lambda: swag.make(scale=0), 'scale is 0'),
    (lambda: laplace.make('a', precision=0.0), 'precision is 0'),
    (lambda: laplace.make('a', samples=1), 'samples is 1'),
  ],
)
def test_options_out_of_range_are_refused(make, message):
  with pytest.raises(ValueError, match=message):
    make()
