"""Steps of an adaptation: the passes of fits by stage, and the shipped configs."""

import pytest

from tests.adapt.sweep import make_method
from uad_jax.adapt import adabn, channel_moments, voxel_moments
from uad_jax.evaluate import evaluate
from uad_jax.evaluation.decisions import Decisions
from uad_jax.few_shot.adapted_config import read_adaptation, steps_of

SHAPE = (16, 16, 1)


def adaptation(*steps):
  config = read_adaptation('recalibration')
  config.steps = steps
  return config


@pytest.mark.parametrize(
  ('adapt', 'name', 'layers'),
  [
    (adabn.make(7), 'dae', 8),
    (channel_moments.make(), 'vae', 5),
    (voxel_moments.make(), 'atlas', 1),
  ],
)
def test_one_pass_is_repeated_for_each_layer(adapt, name, layers):
  method = adapt(make_method(name))
  assert steps_of(adaptation('one pass'), method, SHAPE, 7) == (7 * layers,)


def test_each_stage_has_the_passes_of_its_own_fits():
  method = adabn.make(3, stage=1)(make_method('dae'))
  chosen = adaptation('one pass', 'one pass', 30)
  assert steps_of(chosen, method, SHAPE, 3) == (3, 24, 30)


def test_the_shipped_configs_say_what_the_adaptations_take():
  replaced, mixed = read_adaptation('adabn'), read_adaptation('adabn:40')
  assert dict(replaced.few_shot.adabn) == {'mode': 'replace'}
  assert dict(mixed.few_shot.adabn) == {'mode': 'mix', 'pseudo_count': 40.0}
  matched = read_adaptation('channel_moments')
  assert dict(matched.few_shot.channel_moments) == {} and matched.sees_source
  for config in (replaced, mixed, matched):
    assert config.steps == ('one pass',) and config.thresholds == 'source'


def test_the_default_map_of_the_source_run_must_be_evaluated(key):
  decisions = Decisions({}, 'fused', {})
  with pytest.raises(ValueError, match="unknown default map 'fused'; there are prior"):
    evaluate(
      make_method('atlas'), {}, {}, {'prior': None}, None, [], key, decisions=decisions
    )
