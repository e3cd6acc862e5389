"""Mixture of codes and errors: features, loss, the pass over scans, its map."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tests.method_table import make_batch
from uad_jax.methods import dagmm
from uad_jax.ops import full_covariance_mixture as mixture
from uad_jax.update import init_state, make_update

SHAPE = (16, 16)
TINY = dict(widths=(8, 8), latent=2, components=2, estimation=(4,))


def test_the_errors_of_a_cell_are_distance_and_cosine(key):
  image, expected = jax.random.normal(key, (2, 3, 6, 6, 2))
  mask = jnp.ones((3, 6, 6, 1)).at[0, :, 3:].set(0)
  features = dagmm.error_features(image, expected, mask, (1, 1))
  # A cell weights its voxels by a tent over the grid.
  tent = 1 - np.abs(np.arange(6) - 2.5) / 6
  share = np.sqrt(np.outer(tent, tent)[None, ..., None]) * mask
  x, y = (np.float64(v * share).reshape(3, -1) for v in (image, expected))
  norms = np.linalg.norm(x, axis=-1), np.linalg.norm(y, axis=-1)
  distance = np.linalg.norm(x - y, axis=-1) / norms[0]
  cosine = (x * y).sum(-1) / (norms[0] * norms[1])
  np.testing.assert_allclose(features[:, 0, 0, 0], distance, rtol=0.02)
  np.testing.assert_allclose(features[:, 0, 0, 1], cosine, atol=0.02)
  nothing = jnp.zeros_like(image)
  empty = dagmm.error_features(nothing, nothing, mask, (2, 2))
  np.testing.assert_allclose(empty, 1, rtol=1e-5)


def test_the_loss_is_its_formula(key):
  batch = make_batch(SHAPE)
  batch['mask'] = np.ones_like(batch['mask'])
  batch['weight'][3] = 0
  options = dict(energy_weight=0.3, penalty_weight=0.02, floor=0.05)
  method = dagmm.make(SHAPE, **TINY, **options)
  params, stats = jax.jit(method.init)(key, batch)
  value, (_, terms) = jax.jit(method.objectives['autoencoder'].loss)(
    params, stats, batch, key, 0
  )
  outputs = jax.jit(method.infer)(params, stats, batch, key)
  errors = dagmm.error_features(
    batch['image'], outputs['reconstruction'], batch['mask'], (4, 4)
  )
  v = np.concatenate([outputs['latent'], errors], -1)[:3].reshape(-1, 4)
  layers = params['estimator']
  hidden = v @ layers['Dense_0']['kernel'] + layers['Dense_0']['bias'][None]
  logits = np.maximum(hidden, 0) @ layers['Dense_1']['kernel']
  gamma = jax.nn.softmax(logits + layers['Dense_1']['bias'][None])
  moments = mixture.moments(jnp.float32(v), gamma)
  energy = float(mixture.energy(jnp.float32(v), moments, 0.05).mean())
  penalty = 0.0
  for share in np.float64(gamma).T:
    mean = np.average(v, axis=0, weights=share)
    penalty += (1 / (np.average((v - mean) ** 2, axis=0, weights=share) + 0.05)).sum()
  square = np.float64(batch['image'] - outputs['reconstruction'])[:3] ** 2
  assert float(terms['energy']) == pytest.approx(energy, rel=1e-3, abs=1e-3)
  assert float(terms['penalty']) == pytest.approx(penalty, rel=1e-3)
  expected = 16 * square.mean() + 0.3 * energy + 0.02 * penalty
  assert float(value) == pytest.approx(expected, rel=1e-3)


def test_the_pass_sums_the_brain_of_all_scans(key):
  batch = make_batch(SHAPE)
  method = dagmm.make(SHAPE, **TINY)
  params, stats = jax.jit(method.init)(key, batch)
  fit = jax.jit(method.objectives['mixture'].loss)
  whole = fit(params, stats, batch, key, 0)[1][0]['mixture']
  parts = stats
  for half in ([1, 1, 0, 0], [0, 0, 1, 1]):
    part = {**batch, 'weight': np.float32(half)}
    part['image'] = batch['image'] + 5 * (1 - batch['mask'])
    parts = fit(params, parts, part, key, 0)[1][0]
  for name in whole:
    np.testing.assert_allclose(
      parts['mixture'][name], whole[name], rtol=1e-3, atol=1e-3
    )
  # Places count by their share of brain, by a tent over two cells along each axis.
  tents = 1 - np.abs(np.arange(16) - 4 * np.arange(4)[:, None] - 1.5) / 4
  tents = np.maximum(tents, 0)
  tents = tents / tents.sum(1, keepdims=True)
  shares = np.einsum('ix,jy,bxyc->bij', tents, tents, batch['mask'])
  assert float(whole['weight'].sum()) == pytest.approx(shares.sum(), rel=1e-4)


@pytest.mark.slow
def test_a_spot_has_a_higher_energy_than_healthy_brain():
  batch, key = make_batch(SHAPE, 8), jax.random.key(0)
  method = dagmm.make(SHAPE, **TINY)
  tx = {'autoencoder': optax.adam(3e-3)}
  state = jax.jit(lambda k: init_state(method, tx, k, batch))(key)
  update = make_update(method, tx, (60, 61))
  for name, count in (('autoencoder', 60), ('mixture', 1)):
    step = update((name,))
    for _ in range(count):
      state, _ = step(state, {'train': batch}, key)
  spot = jnp.zeros_like(batch['mask']).at[:, 6:10, 6:10].set(1.0)
  sick = {**batch, 'image': batch['image'] + 3 * spot}
  infer = jax.jit(method.infer)
  healthy, changed = (
    np.asarray(infer(state.params, state.stats, b, key)['novelty'])
    for b in (batch, sick)
  )
  inside = np.asarray(spot * batch['mask']) > 0
  assert changed[inside].mean() > healthy[inside].mean() + 3


@pytest.mark.parametrize(
  'options, sentence',
  [
    (dict(components=0), 'dagmm: components is 0; allowed is'),
    (dict(energy_weight=-1.0), 'dagmm: energy_weight is -1.0; allowed is'),
    (dict(penalty_weight=-1.0), 'dagmm: penalty_weight is -1.0; allowed is'),
    (dict(floor=0.0), 'dagmm: floor is 0.0; allowed is'),
  ],
)
def test_a_mistake_is_one_sentence(options, sentence):
  with pytest.raises(ValueError, match=sentence):
    dagmm.make(SHAPE, **options)
