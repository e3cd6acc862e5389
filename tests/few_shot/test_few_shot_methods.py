"""One table: each adaptation to target scans serves the methods it says it serves."""

import jax
import jax.numpy as jnp
import pytest

from tests.long_variants import all_but
from tests.method_table import ADAPTATIONS, DRAWING, JUDGING, ROWS, make_batch
from uad_jax.method import splits_of
from uad_jax.registry import named
from uad_jax.registry import names as registered
from uad_jax.update import on_target

UNTRAINED = (
  'atlas', 'moment_registration', 'patch_detector', 'smoothing', 'threshold'
)  # fmt: skip
TRAINED = tuple(name for name in ROWS if name not in UNTRAINED)
WITH_CODE = (
  *('aae', 'ae', 'anovaegan', 'caae', 'cae', 'cevae', 'dae', 'dae_unc', 'fanogan'),
  *('gmvae', 'lsa', 'scale_space_ae', 'skip_ae', 'soft_introvae', 'vae'),
  *('dagmm', 'gpnd', 'ocgan'),
)
SERVES = {
  'adabn': ('dae',),
  'channel_moments': (
    *('ae', 'dae_unc', 'dagmm', 'denoising_ae', 'lsa', 'vae', 'fae', 'feature_network'),
    *('feature_transformer', 'reverse_distillation'),
  ),
  'coral': WITH_CODE,
  'dann': WITH_CODE,
  'fada': WITH_CODE,
  'finetune': TRAINED,
  'registered_moments': (
    *('hypermorph', 'learned_template', 'moment_registration', 'voxelmorph'),
    'voxelmorph_diff',
  ),
  'voxel_moments': ('atlas', 'dae_unc'),
}
"""Methods by adaptation; the others are refused with one sentence."""

OPTIONS = {'adabn': dict(batches=2), 'channel_moments': dict(batches=2)}

PAIRS = [(adaptation, name) for adaptation in SERVES for name in ROWS]
TRACED = ('ae', 'dae', 'gmvae')
USUAL = [
  (adaptation, name)
  for adaptation, name in PAIRS
  if name in TRACED
  or name in ('atlas', 'dae_unc', 'denoising_ae', 'threshold')
  and adaptation not in ('coral', 'dann', 'fada', 'finetune')
]
"""A few of the methods, and their refusals; the code is reached alike in all."""


def test_every_adaptation_has_a_row():
  assert sorted([*SERVES, *ADAPTATIONS, *DRAWING, *JUDGING]) == registered('adapt')


@pytest.mark.parametrize('pair', all_but(PAIRS, USUAL), ids='-'.join)
def test_an_adaptation_serves_a_method_or_refuses_it(pair):
  adaptation, name = pair
  shape, options, _ = ROWS[name]
  plain = named('methods', name)(shape=shape, channels=1, **options)
  batch = make_batch(shape)

  def run(key):
    adapt = named('adapt', adaptation)(**OPTIONS.get(adaptation, {}))
    method = on_target(adapt(plain))
    assert method.objectives
    params, stats = method.init(key, batch)
    for objective in method.objectives.values():
      splits = splits_of(objective)
      batches = dict.fromkeys(splits, batch) if len(splits) > 1 else batch
      _, (stats, _) = objective.loss(params, stats, batches, key, jnp.array(0))
    assert set(method.kinds) <= set(stats)
    return stats, method.infer(params, stats, batch, key)

  if name not in SERVES[adaptation]:
    with pytest.raises(ValueError, match=f'^{adaptation}: '):
      jax.eval_shape(run, jax.random.key(0))
    return
  params, stats = jax.eval_shape(lambda key: plain.init(key, batch), jax.random.key(0))
  expected = jax.eval_shape(plain.infer, params, stats, batch, jax.random.key(0))
  adapted_stats, outputs = jax.eval_shape(run, jax.random.key(0))
  assert outputs == expected
  assert set(adapted_stats) >= set(stats)
  assert set(plain.kinds) == set(stats)
