"""Flow as a detector: what it learns, its ratio, its outlier loss, what it refuses."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tests.method_table import make_batch
from uad_jax.methods import glow
from uad_jax.update import init_state, make_update

SHAPE = (16, 16)
TINY = dict(levels=2, steps=2, hidden=8)


def test_images_in_general_keep_their_voxels(key):
  batch = make_batch(SHAPE)
  image = jnp.asarray(batch['image'] * batch['mask'])
  other = np.asarray(glow.rearranged(image, batch['mask'], key))
  assert other.shape == image.shape
  mask = np.asarray(batch['mask'])
  changed = []
  for one, moved, inside in zip(np.asarray(image), other, mask, strict=True):
    kinds = one, (one.max() - one) * inside
    same = [np.allclose(np.sort(k.ravel()), np.sort(moved.ravel())) for k in kinds]
    assert any(same)
    changed.append(same[1])
  assert 0 < sum(changed) < len(changed)
  assert np.abs(other - image).max() > 0.1


@pytest.mark.slow
def test_a_trained_flow_is_less_surprised_by_scans_than_by_others():
  method = glow.make(SHAPE, **TINY, general='rearranged')
  batch, key = make_batch(SHAPE), jax.random.key(0)
  tx = {name: optax.adam(1e-2) for name in ('flow', 'general')}
  state = jax.jit(lambda k: init_state(method, tx, k, batch))(key)
  update = make_update(method, tx, (10**4,))(('flow', 'general'))
  first = None
  for _ in range(25):
    state, metrics = update(state, {'train': batch}, key)
    first = first or {k: float(v) for k, v in metrics.items()}
  assert metrics['flow/nats'] < first['flow/nats'] - 0.2
  assert metrics['general/nats'] < first['general/nats'] - 0.2
  infer = jax.jit(method.infer)
  other = {**batch, 'image': glow.rearranged(batch['image'], batch['mask'], key)}
  scans, others = (infer(state.params, {}, b, key) for b in (batch, other))
  ratio = [float(o['surprisal_ratio'].sum()) for o in (scans, others)]
  assert ratio[0] < ratio[1]
  whole = {**batch, 'mask': jnp.ones_like(batch['mask'])}
  outputs = infer(state.params, {}, whole, key)
  np.testing.assert_allclose(
    outputs['surprisal'].sum((1, 2, 3)), -outputs['log_density'], rtol=1e-4
  )


@pytest.mark.slow
def test_the_outlier_loss_is_its_formula_and_leaves_the_general_network(key):
  options = dict(general='rearranged', temperature=50.0, noise=0.0)
  plain = glow.make(SHAPE, **TINY, **options)
  method = glow.make(SHAPE, **TINY, **options, outlier_weight=7.0)
  batch = make_batch(SHAPE)
  params, _ = jax.jit(method.init)(key, batch)
  loss = method.objectives['flow'].loss
  value, (_, terms) = jax.jit(loss)(params, {}, batch, key, 0)
  other = glow.rearranged(batch['image'], batch['mask'], jax.random.split(key, 3)[1])
  logits = []
  for image in (batch['image'], other):
    outputs = jax.jit(plain.infer)(
      params, {}, {**batch, 'image': image, 'mask': jnp.ones_like(batch['mask'])}, key
    )
    logits.append(
      -np.asarray(outputs['surprisal_ratio'], np.float64).sum((1, 2, 3)) / 50
    )
  expected = np.logaddexp(0, -logits[0]) + np.logaddexp(0, logits[1])
  weight = np.asarray(batch['weight'])
  mean = (expected * weight).sum() / weight.sum()
  assert float(terms['outlier']) == pytest.approx(mean, rel=1e-3)
  assert float(value) == pytest.approx(float(terms['nats']) + 7 * mean / 256, rel=1e-4)
  slopes = jax.jit(jax.grad(lambda p: loss(p, {}, batch, key, 0)[0]))(params)
  assert all(not leaf.any() for leaf in jax.tree.leaves(slopes['general']))


@pytest.mark.parametrize(
  'shape, options, sentence',
  [
    ((20, 16), dict(levels=3), r'shape \(20, 16\) is no multiple of 8'),
    (SHAPE, dict(outlier_weight=1.0), 'outlier_weight needs images in general'),
    (SHAPE, dict(general='imagenet'), "glow: unknown general 'imagenet'"),
    (SHAPE, dict(temperature=0.0), 'glow: temperature is 0.0; allowed is'),
  ],
)
def test_a_mistake_is_one_sentence(shape, options, sentence):
  with pytest.raises(ValueError, match=sentence):
    glow.make(shape, **options)
