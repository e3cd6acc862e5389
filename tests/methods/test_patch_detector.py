"""Patches, banks, and the detectors that are fitted to them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.method_table import make_batch
from uad_jax.detectors.families import feature_bank
from uad_jax.methods import patch_detector
from uad_jax.ops import memory
from uad_jax.update import init_state, make_update

SHAPE = (16, 16)


def fitted(batch, **options):
  method = patch_detector.make(SHAPE, **{'bank': 200, **options})
  key = jax.random.key(0)
  state = jax.jit(lambda k: init_state(method, {}, k, batch))(key)
  update = make_update(method, {}, (2, 3))
  for names in (('bank',), ('bank',), ('detector',)):
    state, metrics = update(names)(state, {'train': batch}, key)
  return method, state, metrics


def test_a_bank_keeps_a_uniform_sample_of_what_it_saw(key):
  counts = np.zeros(8)
  for trial in range(200):
    bank = feature_bank.empty(3, 1)
    for part in range(2):
      values = jnp.arange(4.0)[:, None] + 4 * part
      draw = jax.random.fold_in(jax.random.fold_in(key, trial), part)
      bank = feature_bank.add(bank, values, jnp.array([1.0, 1, 1, 0]), draw)
    kept = np.asarray(bank['vectors'])[:, 0].astype(int)
    assert len(set(kept)) == 3 and np.isfinite(bank['rank']).all()
    counts[kept] += 1
  # Of 6 vectors with a weight each is kept in half of the trials.
  assert counts[3] == counts[7] == 0
  chances = counts[[0, 1, 2, 4, 5, 6]] / 200
  assert abs(chances - 0.5).max() < 0.12


def test_few_vectors_leave_free_places():
  bank = feature_bank.empty(4, 2)
  bank = feature_bank.add(bank, jnp.ones((2, 2)), jnp.ones(2), jax.random.key(0))
  assert np.isfinite(bank['rank']).sum() == 2
  assert bank['vectors'].sum() == 4


@pytest.mark.parametrize(
  'detector, patch', [('knn', 3), ('gaussian', 3), ('isolation_forest', 1)]
)
def test_a_bright_spot_is_the_newest_place(detector, patch):
  batch = make_batch(SHAPE)
  method, state, metrics = fitted(batch, detector=detector, patch=patch, place=False)
  assert metrics['detector/filled'] == 1
  spot = jnp.zeros_like(batch['mask']).at[:, 7:10, 7:10].set(1.0)
  sick = {**batch, 'image': batch['image'] + 3 * spot}
  novelty = np.asarray(
    jax.jit(method.infer)(state.params, state.stats, sick, jax.random.key(0))['novelty']
  )
  inside = np.asarray(spot * batch['mask']) > 0
  other = (np.asarray(batch['mask']) > 0) & ~inside
  assert novelty[inside].mean() > np.quantile(novelty[other], 0.9)


def test_patches_are_the_neighbourhoods(key):
  image = jax.random.normal(key, (2, 5, 6, 1))
  found = np.asarray(patch_detector.patches(image, 3))
  assert found.shape == (2, 5, 6, 9)
  np.testing.assert_array_equal(found[1, 2, 3], image[1, 1:4, 2:5, 0].ravel())
  volume = jax.random.normal(key, (1, 4, 4, 4, 2))
  assert patch_detector.patches(volume, 3).shape == (1, 4, 4, 4, 54)


@pytest.mark.parametrize(
  'options, sentence',
  [
    (dict(patch=2), 'patch is 2; allowed is an odd number'),
    (dict(bank=1), 'patch_detector: bank is 1; allowed is'),
    (
      dict(detector='cnn'),
      "patch_detector: unknown detector 'cnn'; there are gaussian",
    ),
    (dict(options=dict(m=1)), "knn: unknown option 'm'; there are k"),
  ],
)
def test_a_mistake_is_one_sentence(options, sentence):
  with pytest.raises(ValueError, match=sentence):
    patch_detector.make(SHAPE, **options)


def test_more_neighbours_than_vectors_are_refused():
  method = patch_detector.make(SHAPE, bank=4, options=dict(k=5))
  with pytest.raises(ValueError, match='knn: k is 5; allowed is'):
    method.init(jax.random.key(0), make_batch(SHAPE))


def test_a_bank_that_memory_does_not_hold_is_refused(monkeypatch):
  batch = make_batch(SHAPE)
  sizes = r'12 numbers and their detector need [\d.]+ GiB of memory, and there are'
  method = patch_detector.make(SHAPE, patch=3, bank=10**12)
  with pytest.raises(ValueError, match=f'bank is 1000000000000; .* {sizes}'):
    method.init(jax.random.key(0), batch)
  # The bank, its copies while vectors are added, and the vectors of the detector.
  needed = 4 * (3 * 50 * 13 + 50 * 12)
  method = patch_detector.make(SHAPE, patch=3, bank=50)
  monkeypatch.setattr(memory, 'device_bytes', lambda: needed)
  method.init(jax.random.key(0), batch)
  monkeypatch.setattr(memory, 'device_bytes', lambda: needed - 1)
  with pytest.raises(ValueError, match='bank is 50; so many vectors'):
    method.init(jax.random.key(0), batch)
