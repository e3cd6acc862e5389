"""A detector on the features of a method: its stages, its map, and what it refuses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.method_table import ROWS, make_batch, trained
from uad_jax.adapt import detector
from uad_jax.registry import named


def with_detector(name, **options):
  shape, plain, _ = ROWS[name]
  method = named('methods', name)(shape=shape, channels=1, **plain)
  return detector.make(**{'bank': 16, **options})(method), make_batch(shape)


@pytest.mark.parametrize('name, of', [('ae', 'features'), ('vae', 'latent')])
def test_the_novelty_is_that_of_the_methods_vectors(name, of, key):
  method, batch = with_detector(name, of=of, options=dict(k=1))
  *_, state, _, _ = trained(name)
  _, stats = method.init(key, batch)
  stats = stats | state.stats
  for objective in ('bank', 'detector'):
    loss = method.objectives[objective].loss
    _, (stats, _) = jax.jit(loss)(state.params, stats, batch, key, 0)
  outputs = jax.jit(method.infer)(state.params, stats, batch, key)
  novelty = np.asarray(outputs['novelty'])
  assert novelty.shape == batch['mask'].shape and np.isfinite(novelty).all()
  assert (novelty[np.asarray(batch['mask']) == 0] == 0).all()
  # Each vector of the bank is its own nearest neighbour.
  kept = stats['detector']['fitted']['vectors']
  vectors = outputs[of].reshape(-1, outputs[of].shape[-1])
  scale = stats['detector']['scale']
  scaled = (vectors - scale['mean'][None]) / scale['deviation'][None]
  apart = jnp.abs(scaled[:, None] - kept[None]).sum(-1).min(0)
  filled = np.isfinite(np.asarray(stats['bank']['rank']))
  np.testing.assert_allclose(np.asarray(apart)[filled], 0, atol=1e-3)


def test_a_vector_of_a_whole_image_enters_the_bank_however_small_the_brain(key):
  method, batch = with_detector('gpnd', of='latent')
  params, stats = method.init(key, batch)
  mask = jnp.zeros_like(batch['mask']).at[:, :2, :2].set(1)
  collect = jax.jit(method.objectives['bank'].loss)
  _, (stats, _) = collect(params, stats, {**batch, 'mask': mask}, key, 0)
  counted = int((np.asarray(batch['weight']) > 0).sum())
  assert np.isfinite(np.asarray(stats['bank']['rank'])).sum() == counted


def test_its_stages_follow_those_of_the_method():
  method, _ = with_detector('dae_unc', of='reconstruction')
  stages = {name: o.stage for name, o in method.objectives.items()}
  last = max(
    stage for name, stage in stages.items() if name not in ('bank', 'detector')
  )
  assert (stages['bank'], stages['detector']) == (last + 1, last + 2)


def test_what_a_method_does_not_give_is_told(key):
  method, batch = with_detector('threshold')
  with pytest.raises(ValueError, match="this method gives no 'features'; it gives"):
    method.init(key, batch)


@pytest.mark.parametrize(
  'options, sentence',
  [
    (dict(of='soul'), "detector: unknown of 'soul'"),
    (dict(neighbourhood=2), 'detector: neighbourhood is 2; allowed is an odd'),
    (dict(bank=0), 'detector: bank is 0; allowed is'),
    (dict(detector='cnn'), "detector: unknown detector 'cnn'"),
  ],
)
def test_a_mistake_is_one_sentence(options, sentence):
  with pytest.raises(ValueError, match=sentence):
    detector.make(**options)


def test_an_average_over_boxes_is_that_of_the_places_there_are(key):
  maps = jax.random.normal(key, (2, 4, 5, 3))
  found = np.asarray(detector.averaged(maps, 3))
  assert found.shape == maps.shape
  np.testing.assert_allclose(found[1, 2, 3], maps[1, 1:4, 2:5].mean((0, 1)), rtol=1e-5)
  np.testing.assert_allclose(found[0, 0, 0], maps[0, :2, :2].mean((0, 1)), rtol=1e-5)
