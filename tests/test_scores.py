"""Every scorer on outputs made by hand, and on every method that serves it."""

import pkgutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.method_table import ROWS, trained
from uad_jax import scores
from uad_jax.method import bind
from uad_jax.registry import named

FILES = sorted(module.name for module in pkgutil.iter_modules(scores.__path__))

NEEDS = {
  # scorer: (options, outputs it needs)
  'residual': ({}, ('reconstruction',)),
  'standardised': ({}, ('reconstruction', 'reconstruction_log_variance')),
  'ssim': ({}, ('reconstruction',)),
  'log_jacobian': ({}, ('displacement',)),
  'output': ({'of': 'gate'}, ('gate',)),
  'likelihood': ({'smooth': 1.0}, ('improbability',)),
  'input_threshold': ({'equalise': True}, ()),
  'perceptual': ({'smooth': 1.0}, ('features', 'reconstruction')),
  'healing': ({'smooth': 1.0}, ('healed', 'heal_mask')),
  'restoration': ({'steps': 2}, ('elbo',)),
  'gradient': ({}, ('elbo',)),
  'monte_carlo': ({'samples': 2}, ('reconstruction',)),
}


def constant(**outputs):
  """An inference that gives these outputs whatever it sees."""
  return lambda batch, key: outputs


def image_batch(key):
  image = jax.random.uniform(key, (2, 16, 16, 1))
  return {'image': image, 'mask': jnp.ones_like(image)}


def test_every_scorer_has_a_row():
  assert FILES == sorted(NEEDS)


@pytest.mark.parametrize('scorer', NEEDS)
@pytest.mark.parametrize('method', ROWS)
def test_scorer_times_method(scorer, method):
  options, needed = NEEDS[scorer]
  found, batch, _, state, _, _ = trained(method)
  score = named('scores', scorer)(**options)
  key = jax.random.key(0)
  outputs = jax.eval_shape(found.infer, state.params, state.stats, batch, key)

  def run(params, stats):
    return score(bind(found, params, stats), batch, key)

  if all(name in outputs for name in needed):
    anomaly = jax.jit(run)(state.params, state.stats)
    assert anomaly.shape == batch['mask'].shape and jnp.isfinite(anomaly).all()
  else:
    with pytest.raises(
      ValueError, match=f"scorer '{scorer}' needs .*this method gives"
    ):
      jax.eval_shape(run, state.params, state.stats)


@pytest.mark.parametrize(
  'sign, expected', [('absolute', 0.25), ('bright', 0.25), ('dark', -0.25)]
)
def test_residual_and_its_sign(sign, expected, key):
  batch = image_batch(key)
  infer = constant(reconstruction=batch['image'] - 0.25)
  found = named('scores', 'residual')(sign=sign)(infer, batch, key)
  np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_residual_refuses_an_unknown_sign():
  with pytest.raises(ValueError, match="unknown sign 'up'; there are absolute"):
    named('scores', 'residual')(sign='up')


def test_standardised_counts_deviations(key):
  batch = image_batch(key)
  infer = constant(
    prior=batch['image'] + 0.3,
    prior_log_variance=jnp.full((2, 16, 16, 1), 2 * np.log(0.1)),
  )
  score = named('scores', 'standardised')(of='prior', tau=0.0)
  np.testing.assert_allclose(score(infer, batch, key), 3.0, rtol=1e-4)


def test_ssim_of_the_image_itself_is_no_anomaly(key):
  batch = image_batch(key)
  found = named('scores', 'ssim')()(constant(reconstruction=batch['image']), batch, key)
  np.testing.assert_allclose(found, 0.0, atol=1e-5)


def test_log_jacobian_of_a_known_stretch(key):
  batch = image_batch(key)
  rows = jnp.arange(16.0).reshape(1, 16, 1)
  stretch = jnp.stack([0.2 * rows * jnp.ones((2, 1, 16)), jnp.zeros((2, 16, 16))], -1)
  found = named('scores', 'log_jacobian')()(constant(displacement=stretch), batch, key)
  np.testing.assert_allclose(found, np.log(1.2), rtol=1e-4)
