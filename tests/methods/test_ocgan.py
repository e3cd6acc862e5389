"""Mining of codes, and the losses of the networks that oppose each other."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.method_table import make_batch
from uad_jax.methods import ocgan

SHAPE = (16, 16)
CRITICS = dict(latent_critic=(4,), image_critic=(4, 4))
TINY = dict(widths=(8, 8), latent=2, classifier=(4, 4), **CRITICS)


def test_mining_lowers_the_odds_within_the_cube_and_by_scan():
  target = jnp.array([[0.5, -0.5, 0.9], [0.0, 0.2, -0.4], [0.1, 0.1, 0.1]])

  known = jnp.array([1.0, 1.0, 0.0])

  def odds(z):
    return known[: len(z)] * ((z - target[: len(z)]) ** 2).sum(-1)

  z = jnp.array([[-1.0, 0.3, 1.0], [0.9, -0.9, 0.5], [0.1, 0.1, 0.1]])
  mined = ocgan.mine(odds, z, 5, 0.2)
  assert float(jnp.abs(mined).max()) <= 1
  assert (odds(mined)[:2] < odds(z)[:2]).all()
  np.testing.assert_allclose(mined[2], z[2], atol=1e-5)  # no slope, no step
  np.testing.assert_allclose(ocgan.mine(odds, z[:1], 5, 0.2), mined[:1], atol=1e-6)


def test_a_step_of_the_mining_has_its_size():
  slope = jnp.array([3.0, -1.0, 0.5])
  mined = ocgan.mine(lambda z: 40 * (jnp.arctanh(z) @ slope), jnp.zeros((2, 3)), 1, 0.1)
  expected = -0.1 * np.asarray(slope) / np.sqrt((np.asarray(slope) ** 2).mean())
  np.testing.assert_allclose(jnp.arctanh(mined)[0], expected, rtol=1e-4)


def test_codes_have_the_size_of_uniform_ones_whatever_the_encoder_gives(key):
  batch = make_batch(SHAPE)
  method = ocgan.make(SHAPE, **(TINY | {'latent': 8}))
  params, stats = jax.jit(method.init)(key, batch)
  infer = jax.jit(method.infer)
  uniform = np.random.default_rng(0).uniform(-1, 1, 100_000)
  expected = np.sqrt((np.arctanh(uniform) ** 2).mean())
  codes = []
  for factor in (1.0, 1e3):
    last = jax.tree.map(lambda w, f=factor: f * w, params['encoder']['ToVector_0'])
    larger = params | {'encoder': params['encoder'] | {'ToVector_0': last}}
    codes.append(infer(larger, stats, batch, key)['latent'])
    size = np.sqrt((np.arctanh(np.float64(codes[-1])) ** 2).mean(-1))
    np.testing.assert_allclose(size, expected, rtol=0.02)
  np.testing.assert_allclose(*codes, atol=1e-4)


def test_losses_are_their_formulas_and_mining_begins_after_its_steps(key):
  batch = make_batch(SHAPE)
  method = ocgan.make(SHAPE, **TINY, noise=0.0, weight=3.0, after=5, rate=1.0)
  params, stats = jax.jit(method.init)(key, batch)
  infer = jax.jit(method.infer)
  outputs = infer(params, stats, batch, key)
  assert float(jnp.abs(outputs['latent']).max()) < 1

  def terms(name, step=0, changed=params):
    loss = jax.jit(method.objectives[name].loss)
    value, (_, metrics) = loss(changed, stats, batch, key, jnp.array(step))
    return float(value), {k: float(v) for k, v in metrics.items()}

  value, metrics = terms('generator')
  square = np.float64(batch['image'] - outputs['reconstruction']) ** 2
  mse = (square * batch['mask']).sum() / batch['mask'].sum()
  assert metrics['mse'] == pytest.approx(mse, rel=1e-3)
  expected = 3 * mse + metrics['code'] + metrics['image']
  assert value == pytest.approx(expected, rel=1e-4)
  assert terms('generator', 4)[0] == pytest.approx(value, rel=1e-6)
  assert terms('generator', 5)[1]['image'] != metrics['image']
  # A classifier without slope moves no code: the loss is that before the mining.
  flat = jax.tree.map(jnp.zeros_like, params['classifier'])
  late = terms('generator', 5, params | {'classifier': flat})[0]
  assert late == pytest.approx(value, rel=1e-4)
  # Blind discriminators: log 2 for each of their probabilities.
  blind = {name: jax.tree.map(jnp.zeros_like, params[name]) for name in CRITICS}
  assert terms('critic', 0, params | blind)[0] == pytest.approx(4 * np.log(2), rel=1e-5)
  blind = {'classifier': flat}
  value = terms('classifier', 0, params | blind)[0]
  assert value == pytest.approx(2 * np.log(2), rel=1e-5)


@pytest.mark.slow
def test_background_and_padding_do_not_count(key):
  batch = make_batch(SHAPE)
  method = ocgan.make(SHAPE, **TINY)
  params, stats = jax.jit(method.init)(key, batch)
  padded = {k: np.array(v) for k, v in batch.items()}
  padded['weight'][3] = 0
  changed = {**padded, 'image': padded['image'] + 9 * (1 - padded['mask'])}
  changed['image'][3] = 50.0
  for name, objective in method.objectives.items():
    loss = jax.jit(objective.loss)
    values = [float(loss(params, stats, b, key, 0)[0]) for b in (padded, changed)]
    assert values[0] == pytest.approx(values[1], rel=1e-4), name


@pytest.mark.parametrize(
  'options, sentence',
  [
    (dict(weight=0.0), 'ocgan: weight is 0.0; allowed is'),
    (dict(noise=-1.0), 'ocgan: noise is -1.0; allowed is'),
    (dict(rate=0.0), 'ocgan: rate is 0.0; allowed is'),
    (dict(steps=-1), 'ocgan: steps is -1; allowed is'),
    (dict(after=0.5), 'ocgan: after is 0.5; allowed is'),
  ],
)
def test_a_mistake_is_one_sentence(options, sentence):
  with pytest.raises(ValueError, match=sentence):
    ocgan.make(SHAPE, **options)
