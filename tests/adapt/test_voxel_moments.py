"""Voxelwise moments on target scans: closed forms, and voxels that are not judged."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.adapt.sweep import make_method, rows, swept
from tests.method_table import ROWS, make_batch
from uad_jax.adapt import voxel_moments
from uad_jax.evaluation.changed_maps import Smoothed, Supported
from uad_jax.method import bind
from uad_jax.ops import voxel_stats

SHAPE, OPTIONS, _ = ROWS['atlas']


def scans(number, seed):
  batch = make_batch(SHAPE, number, seed=seed)
  return batch | {'position': np.zeros(number, 'f4')}


def source(method, number=40):
  """Statistics of an atlas over source scans, whose left half lies in the brain."""
  batch = scans(number, 1)
  left = np.arange(SHAPE[0])[None, :, None, None] < SHAPE[0] // 2
  batch['image'] = np.where(left, 0.5 + batch['image'], 0).astype('f4')
  stats = method.init(jax.random.key(0), batch)[1]
  moments = voxel_stats.observe(
    stats['atlas'], batch['image'], batch['position'], batch['weight']
  )
  return {'atlas': moments}, batch


def test_source_scans_count_as_many_as_the_pseudo_count():
  plain = make_method('atlas')
  stats, old = source(plain)
  new = scans(6, 2)
  adapted = voxel_moments.make(pseudo_count=10.0)(plain)
  batches = [{'few_shot': rows(new, slice(i, i + 3))} for i in (0, 3)]
  state = swept(adapted, {}, stats, batches, jax.random.key(0))
  mean, variance = voxel_stats.look_up(state.stats['atlas'], jnp.zeros(1), smooth=0)

  def pooled(power):
    values = old['image'] ** power, new['image'] ** power
    return (10 * values[0].mean(0) + 6 * values[1].mean(0)) / 16

  np.testing.assert_allclose(mean[0], pooled(1), rtol=1e-4, atol=1e-5)
  expected = pooled(2) - pooled(1) ** 2
  np.testing.assert_allclose(variance[0], expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize('support', [0.0, 0.2])
def test_voxels_where_no_brain_lies_are_not_judged(support):
  plain = make_method('atlas')
  stats, _ = source(plain)
  method = voxel_moments.make(support=support)(plain)
  batch, key = scans(2, 3), jax.random.key(1)
  outputs = method.infer({}, stats, batch, key)
  if not support:
    assert 'support' not in outputs
    return
  half = SHAPE[0] // 2
  reached = outputs['support']
  assert reached.shape == batch['mask'].shape and set(np.unique(reached)) == {0, 1}
  assert reached[:, : half - 2].all() and not reached[:, half + 4 :].any()

  def residual(infer, batch, key):
    return jnp.abs(batch['image'] - infer(batch, key)['reconstruction'])

  maps = residual(bind(plain, {}, stats), batch, key)
  infer = bind(method, {}, stats)
  changed = Supported(residual)(infer, batch, key)
  kept = np.asarray(reached) > 0
  np.testing.assert_array_equal(changed[kept], maps[kept])
  for old, new, inside, brain in zip(maps, changed, kept, batch['mask'], strict=True):
    assert (new[~inside] == old[inside & (brain > 0)].min()).all()
  # Without the output nothing changes; median filters see the changed map.
  same = Supported(residual)(bind(plain, {}, stats), batch, key)
  np.testing.assert_array_equal(same, maps)
  smooth = Smoothed(Supported(residual), 3)(infer, batch, key)
  np.testing.assert_array_equal(
    smooth, Smoothed(residual, 3).filtered(changed, batch['mask'])
  )


@pytest.mark.parametrize('option', ['pseudo_count', 'support'])
def test_options_are_not_negative(option):
  with pytest.raises(ValueError, match=f'voxel_moments: {option} is -1; allowed is'):
    voxel_moments.make(**{option: -1})


def test_a_scan_that_is_left_out_might_never_have_been_seen():
  plain = make_method('atlas')
  stats, _ = source(plain)
  new, key = scans(6, 2), jax.random.key(0)
  adapted = voxel_moments.make(pseudo_count=10.0)(plain)
  whole, rest = (
    swept(adapted, {}, stats, [{'few_shot': rows(new, part)}], key).stats
    for part in (slice(0, 6), slice(0, 4))
  )
  left = adapted.without({}, whole, rows(new, slice(4, 6)))
  for name in ('count', 'sum', 'square'):
    np.testing.assert_allclose(left['atlas'][name], rest['atlas'][name], atol=1e-3)
  nothing = adapted.without({}, rest | {'atlas': voxel_stats.observe(
    voxel_stats.empty(1, SHAPE, 1), new['image'], new['position'], new['weight']
  )}, new)  # fmt: skip
  assert (
    float(nothing['atlas']['count'].max())
    == 0
    == float(abs(nothing['atlas']['sum']).max())
  )
