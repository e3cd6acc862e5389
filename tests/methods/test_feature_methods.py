"""Features by masked auto-encoding, and the methods that restore features."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tests.registration.shifted_scans import SHAPE, shifted
from uad_jax.features import networks
from uad_jax.methods import (
  fae,
  feature_network,
  feature_transformer,
  reverse_distillation,
)
from uad_jax.nets.feature_autoencoder import apart
from uad_jax.ops.losses import ssim
from uad_jax.update import due, init_state, make_update

TINY = {
  fae: dict(feature_widths=(4, 8), cell=4, widths=(8, 8)),
  reverse_distillation: dict(feature_widths=(4, 8), cell=4, widths=(8, 8)),
  feature_transformer: dict(feature_widths=(4, 8), cell=4, width=8, depth=1, heads=2),
}


LIFT = 3.0
BORDER = (1 / 8, 7 / 8)


def test_cells_of_the_image_are_hidden():
  image = jnp.zeros((400, 16, 12, 1))
  hidden = networks.hidden_cells(jax.random.key(0), image, 0.3, 4)
  assert hidden.shape == image.shape and set(np.unique(hidden)) == {0, 1}
  assert abs(float(hidden.mean()) - 0.3) < 0.02
  # Along an axis the pattern changes only at every fourth voxel.
  for axis in (1, 2):
    changes = np.abs(np.diff(hidden, axis=axis)).sum((0, 3)).sum(2 - axis)
    places = np.flatnonzero(changes)
    assert len(places) > 1 and set(np.diff(places)) == {4}


@pytest.mark.slow
def test_only_hidden_voxels_of_the_brain_count_in_the_pretext(key):
  method = feature_network.make(SHAPE, widths=(4, 8), cell=4)
  batch = shifted(jnp.array([-1.0, 0.0, 1.0]))
  batch['mask'] = batch['mask'].at[:, :8].set(0.0)
  batch['weight'] = jnp.array([1.0, 1.0, 0.0])
  params, stats = method.init(key, batch)
  loss = jax.jit(method.objectives['pretext'].loss)
  value, _ = loss(params, stats, batch, key, 0)
  hidden = networks.hidden_cells(key, batch['image'], 0.5, 4)
  counted = hidden * batch['mask'] * batch['weight'][:, None, None, None]
  # Oracle: where nothing counts the scan may be anything that the network cannot see.
  other = jnp.where(counted + (1 - hidden) > 0, batch['image'], 5.0)
  again, _ = loss(params, stats, {**batch, 'image': other}, key, 0)
  np.testing.assert_allclose(value, again, rtol=1e-5)
  seen = jnp.where(counted > 0, 5.0, batch['image'])
  changed, _ = loss(params, stats, {**batch, 'image': seen}, key, 0)
  assert float(changed) > float(value) + 1


@pytest.mark.parametrize('module', TINY)
def test_features_are_standardised_over_the_brain(module, key):
  method = module.make(SHAPE, **TINY[module])
  batch = shifted(jnp.array([-1.0, 0.0, 1.0]))
  batch['mask'] = batch['mask'].at[:, :8].set(0.0)
  batch['weight'] = jnp.array([1.0, 1.0, 0.0])
  params, stats = method.init(key, batch)
  _, (stats, _) = method.objectives['scale'].loss(params, stats, batch, key, 0)
  maps = np.asarray(method.infer(params, stats, batch, key)['features'])[:2]
  # The share of brain in each cell: 0, 1/8, 7/8 and 1 across the edge of the mask.
  share = np.ones(maps.shape[1])
  edge = 8 * maps.shape[1] // SHAPE[0]
  share[: edge - 1], share[edge - 1 : edge + 1] = 0, BORDER
  weight = np.tile(share[None, :, None], (2, 1, maps.shape[2]))
  flat, weight = maps.reshape(-1, maps.shape[-1]), weight.reshape(-1)
  mean = np.average(flat, axis=0, weights=weight)
  np.testing.assert_allclose(mean, 0, atol=1e-3)
  spread = np.average((flat - mean) ** 2, axis=0, weights=weight)
  np.testing.assert_allclose(spread, 1, atol=0.05)


def test_the_maps_are_the_distances_of_the_papers(key):
  a, b = jax.random.normal(key, (2, 1, 8, 8, 3))
  cosine = reverse_distillation.cosine_distance(a, b)
  x, y = (np.asarray(v).reshape(-1, 3) for v in (a, b))
  expected = [
    1 - u @ v / np.linalg.norm(u) / np.linalg.norm(v) for u, v in zip(x, y, strict=True)
  ]
  np.testing.assert_allclose(cosine.ravel(), expected, atol=1e-5)
  np.testing.assert_allclose(
    reverse_distillation.cosine_distance(a, 3 * a), 0, atol=1e-5
  )
  np.testing.assert_allclose(ssim(a, a, 5), 1, atol=1e-4)


def test_neighbours_are_hidden_from_the_attention():
  seen = apart((4, 5), 3)
  places = np.stack(np.meshgrid(range(4), range(5), indexing='ij'), -1).reshape(-1, 2)
  for i, p in enumerate(places):
    for j, q in enumerate(places):
      assert bool(seen[i, j]) == (max(abs(p - q)) > 1)
  assert apart((4, 5), 0).all()
  with pytest.raises(ValueError, match='neighbours is 3 on a grid of'):
    apart((3, 3), 3)


@pytest.mark.slow
@pytest.mark.parametrize('module', TINY)
def test_a_lesion_stands_out_after_the_training(module, optimised):
  method = module.make(SHAPE, **TINY[module])
  batch, key = shifted(jnp.linspace(-2, 2, 8)), jax.random.key(0)
  ends = (200, 201, 501)
  tx = {n: optax.adam(3e-3) for n, o in method.objectives.items() if o.trains}
  state = jax.jit(lambda k: init_state(method, tx, k, batch))(key)
  update = make_update(method, tx, ends)
  for _ in range(ends[-1]):
    names = due(method.objectives, ends, int(state.step))
    state, _ = update(names)(state, {'train': batch}, key)
  lesion = jnp.zeros_like(batch['mask']).at[:, 10:14, 10:14].set(1.0)
  sick = {**batch, 'image': batch['image'] + LIFT * lesion}
  infer = jax.jit(method.infer)
  novelty = [
    np.asarray(infer(state.params, state.stats, b, key)['novelty'])
    for b in (batch, sick)
  ]
  inside = np.asarray(lesion) > 0
  assert novelty[1][inside].mean() > 2 * novelty[0][inside].mean()
  rise = novelty[1] - novelty[0]
  assert rise[inside].mean() > rise[~inside].mean()


@pytest.mark.parametrize(
  'module, options, sentence',
  [
    (fae, dict(window=4), 'fae: window is 4; allowed is an odd number'),
    (fae, dict(share=0.0), 'fae: share is 0.0'),
    (fae, dict(cell=0), 'fae: cell is 0'),
    (fae, dict(widths=()), 'fae: widths is'),
    (
      reverse_distillation,
      dict(widths=(4,)),
      'allowed are as many widths as feature_widths',
    ),
    (feature_transformer, dict(heads=3), 'allowed is a multiple of the heads'),
    (feature_transformer, dict(neighbours=4), 'neighbours is 4; allowed is an odd'),
    (feature_transformer, dict(jitter=-1.0), 'jitter is -1.0'),
  ],
)
def test_impossible_options_are_refused(module, options, sentence):
  with pytest.raises(ValueError, match=sentence):
    module.make(SHAPE, **{**TINY[module], **options})
