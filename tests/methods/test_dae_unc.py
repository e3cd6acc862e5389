"""The uncertainty-guided deformable auto-encoder: its switches, and a volume."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tests.method_table import ROWS, make_batch, trained
from uad_jax.evaluation import histogram
from uad_jax.methods import dae_unc
from uad_jax.update import due, init_state, make_update

SHAPE, OPTIONS, _ = ROWS['dae_unc']
SWITCHES = (
  dict(bins=0),
  dict(gate_prior=True),
  dict(similarity='ncc'),
  dict(mirror=True, gate_prior=True),
  dict(mirror=True),
  dict(two_pass=False),
  dict(solve=True),
  dict(open_by=()),
  dict(denoise=0.0, heads=1, position=False),
  dict(coarse=2),
)


@pytest.mark.parametrize(
  'switch',
  [
    pytest.param(switch, marks=pytest.mark.slow if number % 3 else ())
    for number, switch in enumerate(SWITCHES)
  ],
)
def test_every_switch_gives_a_method_that_can_be_trained(switch):
  method = dae_unc.make(SHAPE, **{**OPTIONS, **switch})
  batch, key = make_batch(SHAPE), jax.random.key(0)

  def shapes(key):
    params, stats = method.init(key, batch)
    values = [o.loss(params, stats, batch, key, 0) for o in method.objectives.values()]
    return values, method.infer(params, stats, batch, key)

  values, outputs = jax.eval_shape(shapes, key)
  assert all(value.shape == () for value, _ in values)
  assert outputs['reconstruction'].shape == batch['image'].shape
  assert outputs['displacement'].shape == (*batch['image'].shape[:-1], 2)


@pytest.mark.parametrize(
  'wrong, sentence',
  [
    (dict(open_by=('luck',)), "dae_unc: unknown evidence 'luck'; there are"),
    (dict(similarity='mi'), "unknown similarity 'mi'; there are ncc, mse"),
    (dict(window=5), "window is 5, but similarity 'mse' does not use it; allowed is 9"),
    (
      dict(similarity='ncc', mse_weight=1.0),
      "mse_weight is 1.0, but similarity 'ncc' does not use it; allowed is 50.0",
    ),
  ],
)
def test_an_unknown_name_or_an_idle_option_is_told(wrong, sentence):
  with pytest.raises(ValueError, match=sentence):
    dae_unc.make(SHAPE, **wrong)


def test_the_twin_loss_has_a_tenth_of_the_weight_that_is_asked_for(monkeypatch):
  # The difference of the fields is replaced by 1, its weighted mean.
  monkeypatch.setattr(
    dae_unc.energy, 'twin_difference', lambda painted, twin, g: jnp.ones(len(painted))
  )
  batch, key = make_batch(SHAPE), jax.random.key(0)

  def loss(weight):
    method = dae_unc.make(SHAPE, **OPTIONS, twin=weight)
    params, stats = method.init(key, batch)
    return method.objectives['deformer'].loss(params, stats, batch, key, 0)[0]

  without, asked = jax.jit(lambda: (loss(0.0), loss(3.0)))()
  assert float(asked - without) == pytest.approx(0.3, rel=1e-3)


def inferred(**asked):
  _, batch, _, state, _, infer = trained('dae_unc')
  size = len(batch['image'])
  asked = {name: np.full(size, value, np.float32) for name, value in asked.items()}
  return infer(state.params, state.stats, {**batch, **asked}, jax.random.key(0))


def test_asked_to_close_the_gate_it_gives_the_uniform_field():
  assert float(inferred(open=0.0)['gate'].max()) == 0
  opened, shut = inferred(open=1.0), inferred(open=0.0)
  assert float(opened['gate'].max()) > 0
  assert not np.array_equal(opened['velocity'], shut['velocity'])
  np.testing.assert_array_equal(opened['posterior'], shut['posterior'])


def test_log_odds_tell_apart_what_the_posterior_puts_in_one_bin():
  outputs = inferred()
  logit, mask = outputs['posterior_logit'], make_batch(SHAPE)['mask']
  np.testing.assert_allclose(jax.nn.sigmoid(logit) * mask, outputs['posterior'])
  sure = np.array([8.5, 9.0, 12.0], np.float32)
  assert len(set(histogram.encode(np.asarray(jax.nn.sigmoid(sure))))) == 1
  assert len(set(histogram.encode(sure))) == 3


def test_the_field_knows_the_strength_it_is_asked_for():
  soft, stiff = inferred(strength=0.03, open=0.0), inferred(strength=30.0, open=0.0)
  assert not np.allclose(soft['velocity'], stiff['velocity'], atol=1e-6)


@pytest.mark.slow
@pytest.mark.usefixtures('optimised')
def test_a_training_step_on_a_volume_of_64_cubed():
  shape = (64, 64, 64)
  method = dae_unc.make(shape, bins=1, coarse=2)
  batch, key = make_batch(shape, size=2), jax.random.key(1)
  tx = {n: optax.adam(1e-3) for n, o in method.objectives.items() if o.trains}
  state = jax.jit(lambda key: init_state(method, tx, key, batch))(key)
  before = jax.tree.map(np.array, state.params)  # copies: the update donates
  ends = (1, 2, 3, 4)
  update = make_update(method, tx, ends)
  for step in range(4):
    names = due(method.objectives, ends, step)
    splits = {method.objectives[n].split: batch for n in names}
    state, metrics = update(names)(state, splits, key)
    assert all(np.isfinite(value) for value in metrics.values()), metrics
  for net, old in before.items():
    new = jax.device_get(state.params[net])
    same = jax.tree.map(np.array_equal, old, new)
    assert not all(jax.tree.leaves(same)), net
  outputs = jax.jit(method.infer)(state.params, state.stats, batch, key)
  assert outputs['displacement'].shape == (2, *shape, 3)
  assert jnp.isfinite(outputs['reconstruction']).all()
