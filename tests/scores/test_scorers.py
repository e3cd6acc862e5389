"""Every scorer on outputs made by hand, and on every method that serves it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from tests.long_variants import all_but
from tests.method_table import ROWS, trained
from uad_jax import inference
from uad_jax.method import Method, bind
from uad_jax.registry import named
from uad_jax.registry import names as registered

FILES = registered('scores')

PREDICTED = ('reconstruction', 'reconstruction_log_variance')

NEEDS = {
  # scorer: (options, outputs it needs)
  'residual': ({}, ('reconstruction',)),
  'standardised': ({}, ('reconstruction', 'reconstruction_log_variance')),
  'multiscale': ({}, ('reconstruction_responses',)),
  'ssim': ({}, ('reconstruction',)),
  'log_jacobian': ({}, ('displacement',)),
  'output': ({'of': 'gate'}, ('gate',)),
  'log_odds': ({}, ('posterior',)),
  'likelihood': ({'smooth': 1.0}, ('improbability',)),
  'input_threshold': ({'equalise': True}, ()),
  'perceptual': ({'smooth': 1.0}, ('features', 'reconstruction')),
  'healing': ({'smooth': 1.0}, ('healed', 'heal_mask')),
  'restoration': ({'steps': 2}, ('elbo',)),
  'gradient': ({}, ('elbo',)),
  'monte_carlo': ({'samples': 2}, ('reconstruction',)),
  'uncertainty': ({'samples': 2, 'predicted': True}, PREDICTED),
}


def constant(**outputs):
  """An inference that gives these outputs whatever it sees."""
  return lambda batch, key: outputs


def image_batch(key):
  image = jax.random.uniform(key, (2, 16, 16, 1))
  return {'image': image, 'mask': jnp.ones_like(image)}


def test_every_scorer_has_a_row():
  assert FILES == sorted(NEEDS)


MOVED_FIELD = {
  'estimator': 'transformed',
  'of': 'displacement',
  'samples': 2,
  'kind': 'deviation',
}

KINDS = [
  # the other kinds of a scorer: (scorer, options, outputs it needs)
  ('gradient', {'of': 'kl'}, ('kl',)),
  ('gradient', {'of': 'rec', 'residual': True}, ('rec', 'reconstruction')),
  ('gradient', {'of': 'error'}, ('reconstruction',)),
  ('restoration', {'steps': 2, 'variant': 'baur2021'}, ('elbo', 'reconstruction')),
  ('monte_carlo', {'samples': 2, 'kind': 'mean'}, ('reconstruction',)),
  ('monte_carlo', {'samples': 2, 'kind': 'variance'}, ('reconstruction',)),
  ('monte_carlo', {'samples': 2, 'kind': 'mahalanobis_full'}, ('reconstruction',)),
  ('monte_carlo', {'samples': 2, 'kind': 'deviation'}, ('reconstruction',)),
  ('uncertainty', {'estimator': 'predicted'}, PREDICTED),
  ('uncertainty', {'of': 'sampled', 'samples': 2}, ('sampled',)),
  ('uncertainty', {'estimator': 'members', 'of': 'prior'}, ('prior_members',)),
  ('uncertainty', {'estimator': 'augmented', 'samples': 2}, ('reconstruction',)),
  ('uncertainty', {'estimator': 'transformed', 'samples': 2}, ('reconstruction',)),
  ('uncertainty', MOVED_FIELD, ('displacement',)),
  ('output', {'of': 'scale_residual'}, ('scale_residual',)),
  ('output', {'of': 'restored'}, ('restored',)),
  ('output', {'of': 'surprise'}, ('surprise',)),
]


def refuses(method, scorer, options):
  """Checks that a scorer names the output that a method lacks."""
  found, batch, _, state, _, _ = trained(method)
  score = named('scores', scorer)(**options)

  def run(params, stats):
    return score(bind(found, params, stats), batch, jax.random.key(0))

  with pytest.raises(ValueError, match=f"scorer '{scorer}' needs .*this method gives"):
    jax.eval_shape(run, state.params, state.stats)


def outputs_of(method):
  found, batch, _, state, _, _ = trained(method)
  key = jax.random.key(0)
  return jax.eval_shape(found.infer, state.params, state.stats, batch, key)


def check_maps(method, scorers):
  """Checks the anomaly maps of scorers, which are compiled together."""
  found, batch, _, state, _, _ = trained(method)
  maps = inference.make_infer(found, scorers).maps
  arrays = maps(state.params, state.stats, batch, jax.random.key(0))
  for name in scorers:
    anomaly = arrays[f'map/{name}']
    assert anomaly.shape == batch['mask'].shape, name
    assert jnp.isfinite(anomaly).all(), name


USUAL = ('atlas', 'threshold', 'vae', 'skip_ae')
"""Methods that have most of the outputs of which scorers make maps; `dae_unc`, which
has the others, takes long."""


@pytest.mark.parametrize('method', all_but(ROWS, USUAL))
def test_every_scorer_on_a_method(method):
  outputs = outputs_of(method)
  served = {}
  for scorer, (options, needed) in NEEDS.items():
    if all(name in outputs for name in needed):
      served[scorer] = named('scores', scorer)(**options)
    else:
      refuses(method, scorer, options)
  check_maps(method, served)


@pytest.mark.slow
@pytest.mark.parametrize('scorer, options, needed', KINDS)
@pytest.mark.parametrize('method', ROWS)
def test_every_kind_of_a_scorer_on_a_method(scorer, options, needed, method):
  if all(name in outputs_of(method) for name in needed):
    check_maps(method, {scorer: named('scores', scorer)(**options)})
  else:
    refuses(method, scorer, options)


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


AROUND = {
  'residual': {'smooth': 1.0},
  'standardised': {'smooth': 1.0},
  'restoration': {'variant': 'baur2021', 'steps': 3},
}
"""Scorers that look around a voxel at how far the image is from what is expected."""


@pytest.mark.parametrize('scorer', AROUND)
def test_the_value_of_the_background_does_not_matter(scorer, key):
  """Some presets put it at -3.5; the method here does not look at it."""

  def infer(params, stats, batch, key):
    brain = batch['image'] * batch['mask']
    expected = 1.5 * brain
    return {
      'reconstruction': expected,
      'reconstruction_log_variance': jnp.zeros_like(brain),
      'elbo': -((brain - expected) ** 2).sum((1, 2, 3)),
    }

  bound = bind(Method(None, {}, infer), {}, {})
  score, batch = named('scores', scorer)(**AROUND[scorer]), image_batch(key)
  mask = batch['mask'].at[:, :5].set(0.0)
  maps = [
    score(bound, {'image': jnp.where(mask > 0, batch['image'], v), 'mask': mask}, key)
    for v in (0.0, -3.5)
  ]
  np.testing.assert_allclose(maps[0] * mask, maps[1] * mask, atol=1e-5)
  assert (maps[0] * mask).max() > 1e-3


def test_healing_is_the_mean_residual_in_the_smoothed_masks(key):
  batch = image_batch(key)
  keys = jax.random.split(key, 2)
  healed = jax.random.uniform(keys[0], (2, 3, 16, 16, 1))
  places = jax.random.bernoulli(keys[1], 0.5, healed.shape).astype(jnp.float32)
  mask = batch['mask'].at[:, :4].set(0.0)
  found = named('scores', 'healing')(smooth=1.5)(
    constant(healed=healed, heal_mask=places), {**batch, 'mask': mask}, key
  )
  # oracle: scipy; the mask of the brain cuts what was smoothed already
  soft = ndimage.gaussian_filter(places, (0, 0, 1.5, 1.5, 0), mode='nearest')
  want = (np.abs(batch['image'][:, None] - healed) * soft).mean(1) * mask
  np.testing.assert_allclose(found, want, atol=2e-4)


def test_log_jacobian_of_a_known_stretch(key):
  batch = image_batch(key)
  rows = jnp.arange(16.0).reshape(1, 16, 1)
  stretch = jnp.stack([0.2 * rows * jnp.ones((2, 1, 16)), jnp.zeros((2, 16, 16))], -1)
  found = named('scores', 'log_jacobian')()(constant(displacement=stretch), batch, key)
  np.testing.assert_allclose(found, np.log(1.2), rtol=1e-4)
