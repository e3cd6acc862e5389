"""Alignment of the moments of latent codes on both domains."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.adapt.two_domains import batches, moved, steps, tiny
from uad_jax.adapt import coral


def parts(method, splits, key):
  """Loss and metrics of the first added objective, with the untrained parameters."""
  params, stats = method.init(key, splits['train'])
  name = next(name for name in method.objectives if name.startswith('coral_'))
  loss = method.objectives[name].loss
  value, (_, metrics) = loss(params, stats, splits, key, jnp.array(0))
  return params, stats, float(value), jax.device_get(metrics)


def test_the_loss_adds_the_distances_of_the_codes_to_both_losses(key):
  plain, splits = tiny('vae'), batches()
  method = coral.make(covariance=3.0, mean=0.5)(plain)
  params, stats, value, metrics = parts(method, splits, key)
  # The codes by the method's inference; their moments by numpy in float64.
  codes = [
    np.asarray(
      plain.infer(params, stats, splits[split], key)['latent'], np.float64
    ).mean((1, 2))
    for split in ('train', 'few_shot')
  ]
  source, target = (np.cov(z, rowvar=False) for z in codes)
  distance = ((source - target) ** 2).sum() / (4 * 2**2)
  gap = np.mean((codes[0].mean(0) - codes[1].mean(0)) ** 2)
  np.testing.assert_allclose(metrics['coral'], distance, rtol=1e-3)
  np.testing.assert_allclose(metrics['means'], gap, rtol=1e-3)
  expected = metrics['source'] + metrics['target'] + 3 * distance + 0.5 * gap
  np.testing.assert_allclose(value, expected, rtol=1e-5)


def test_the_distances_of_equal_batches_are_zero(key):
  source = batches()['train']
  method = coral.make(mean=1.0)(tiny('ae'))
  *_, metrics = parts(method, {'train': source, 'few_shot': source}, key)
  assert metrics['coral'] == 0 and metrics['means'] == 0


def test_the_losses_of_a_ramp_are_those_at_its_end(key):
  plain, splits = tiny('vae'), batches()
  *_, metrics = parts(coral.make()(plain), splits, key)
  params, stats = plain.init(key, splits['train'])
  key_source = jax.random.split(key, 3)[0]
  loss, _ = plain.objectives['vae'].loss(
    params, stats, splits['train'], key_source, jnp.array(10**6)
  )
  np.testing.assert_allclose(metrics['source'], loss, rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
  'name',
  ['vae', *(pytest.param(name, marks=pytest.mark.slow) for name in ('ae', 'dae_unc'))],
)
def test_three_steps_move_the_networks_and_keep_losses_finite(name, key):
  method = coral.make(mean=1.0)(tiny(name))
  states, history = steps(method, (3,), batches(), key)
  for metrics in history:
    assert all(np.isfinite(value) for value in metrics.values())
  assert moved(states[0], states[-1]) == set(states[0].params)


@pytest.mark.slow
def test_only_objectives_that_feed_the_code_get_the_term(key):
  _, history = steps(coral.make()(tiny('dae_unc')), (1,), batches(), key)
  assert 'coral_prior/coral' in history[0]
  assert 'coral_deformer/coral' not in history[0]
  assert 'coral_gate/coral' not in history[0]


@pytest.mark.parametrize(
  ('name', 'sentence'),
  [
    ('denoising_ae', 'coral: the method has no latent code; it gives'),
    ('vqvae_transformer', 'coral: the latent code has no gradient with respect to'),
  ],
)
def test_a_method_without_a_code_that_can_be_moved_is_refused(name, sentence, key):
  method = coral.make()(tiny(name))
  with pytest.raises(ValueError, match=sentence):
    jax.eval_shape(lambda key: method.init(key, batches()['train']), key)


def test_impossible_options_are_refused():
  with pytest.raises(ValueError, match='coral: covariance is -1; allowed is a number'):
    coral.make(covariance=-1)
  with pytest.raises(ValueError, match='coral: covariance and mean are 0; allowed'):
    coral.make(covariance=0)
  with pytest.raises(ValueError, match="coral: unknown objective 'x'; there are vae"):
    coral.make(objectives=('x',))(tiny('vae'))
  with pytest.raises(ValueError, match='coral: the method trains no network; allowed'):
    coral.make()(tiny('atlas'))
