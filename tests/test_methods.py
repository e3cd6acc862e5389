"""One table over every method: a method without a row fails."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tests.long_variants import all_but
from tests.method_table import ADAPTATIONS, ROWS, TRACED, initial, make_batch, trained
from uad_jax import checkpoint
from uad_jax.method import State
from uad_jax.registry import named
from uad_jax.registry import names as registered
from uad_jax.update import make_update

FILES = registered('methods')
OPTIONS = {'randomise': dict(thickness=2), 'wrm': dict(steps=2)}
"""Options of adaptations that are not their defaults."""

SMOOTH = (
  *(
    'atlas',
    'moment_registration',
    'patch_detector',
    'smoothing',
    'threshold',
  ),  # nothing to train
  *('cold_diffusion', 'dae', 'ddpm', 'denoising_ae', 'disyre', 'rectified_flow'),
  *('fae', 'feature_network', 'reverse_distillation', 'vae'),
)
"""Methods whose losses `wrm` takes; it refuses those with a kink."""

SERVES = {'wrm': SMOOTH}
"""Methods that an adaptation serves, where they are not all."""

ADVERSARIAL = ('critic', 'latent_critic', 'classifier', 'generator')
"""Objectives that oppose each other: trained together one of their losses may rise, so
each is trained alone here, and has to fall."""


def losses_alone(name, objective):
  """The loss of one objective before and after ten steps in which nothing else moves.

  Both are means over the same draws: from one to the next it differs by more.
  """
  method, batch, first, _, _, _ = trained(name)
  first_stage = method.objectives[objective]._replace(stage=0)
  method = method._replace(objectives={objective: first_stage})
  update = make_update(method, {objective: optax.adam(3e-3)}, (10,))((objective,))
  keys = jax.random.split(jax.random.key(8), 16)

  @jax.jit
  def mean(state):
    def loss(key):
      return method.objectives[objective].loss(
        state.params, state.stats, batch, key, 0
      )[0]

    return jax.lax.map(loss, keys).mean()

  before, state = float(mean(first)), jax.device_put(first)
  for _ in range(10):
    state, _ = update(state, {'train': batch}, jax.random.key(7))
  return [before, float(mean(state))]


def test_every_method_has_a_row():
  assert FILES == sorted(ROWS)


QUICK = all_but(
  ROWS,
  (
    *('aae', 'ae', 'atlas', 'cold_diffusion', 'dae', 'dae_unc', 'deep_svdd'),
    *('moment_registration', 'patch_detector', 'skip_ae', 'smoothing', 'threshold'),
    *('vae', 'voxelmorph'),
  ),
)
"""Methods of each kind; the others, which have files of their own, are slow here."""


@pytest.mark.parametrize('name', QUICK)
def test_parameter_count(name):
  _, _, first, _ = initial(name)
  count = sum(x.size for x in jax.tree.leaves(first.params))
  golden = ROWS[name][2]
  assert count == golden, f'{name} has {count} parameters'


@pytest.mark.parametrize('name', QUICK)
def test_training_lowers_each_loss(name):
  method, _, _, _, history, _ = trained(name)
  for objective, value in method.objectives.items():
    if not value.trains:
      continue
    losses = [
      m[f'{objective}/loss'] for names, _, _, m in history if objective in names
    ]
    assert np.isfinite(losses).all()
    if objective in ADVERSARIAL:
      losses = losses_alone(name, objective)
    assert np.mean(losses[-2:]) < losses[0], (objective, losses)


@pytest.mark.parametrize('name', QUICK)
def test_each_objective_is_traced_once(name):
  method, _, _, _, history, _ = trained(name)
  moved = {label for names, *_ in history for label in names}
  assert moved == set(method.objectives)
  compiled = {label for label in moved if not method.objectives[label].on_host}
  assert {label: TRACED[name][label] for label in compiled} == dict.fromkeys(
    compiled, 1
  )


@pytest.mark.parametrize('name', QUICK)
def test_bounds_are_of_metrics_that_there_are(name):
  method, _, _, _, history, _ = trained(name)
  for label, objective in method.objectives.items():
    given = [metrics for names, _, _, metrics in history if label in names]
    for bound in objective.bounds:
      assert bound.low < bound.high
      assert all(f'{label}/{bound.metric}' in metrics for metrics in given)


@pytest.mark.parametrize('name', QUICK)
def test_the_adaptations_serve_every_method_together(name):
  plain, batch, first, infer = initial(name)
  adapted = plain
  for adaptation in ADAPTATIONS:
    if name in SERVES.get(adaptation, ROWS):
      adapted = named('adapt', adaptation)(**OPTIONS.get(adaptation, {}))(adapted)

  def run(key):
    params, stats = adapted.init(key, batch)
    for objective in adapted.objectives.values():
      _, (stats, _) = objective.loss(params, stats, batch, key, jnp.array(0))
    return params, stats, adapted.infer(params, stats, batch, key)

  params, stats, outputs = jax.eval_shape(run, jax.random.key(0))
  expected = jax.eval_shape(infer, first.params, first.stats, batch, jax.random.key(0))
  assert outputs == expected
  assert jax.tree.structure(params) == jax.tree.structure(first.params)
  assert set(stats) > set(first.stats)  # no objective drops what another keeps


@pytest.mark.parametrize('name', sorted(set(ROWS) - set(SMOOTH)))
def test_wrm_refuses_a_loss_with_a_kink(name):
  plain, batch, _, _ = initial(name)
  method = named('adapt', 'wrm')()(plain)
  with pytest.raises(ValueError, match='allowed are smooth networks and losses'):
    jax.eval_shape(lambda key: method.init(key, batch), jax.random.key(0))


@pytest.mark.parametrize('name', QUICK)
def test_an_update_changes_what_it_trains_and_nothing_else(name):
  method, _, _, _, history, _ = trained(name)
  for names, before, after, _ in history:
    moving = {net for n in names for net in method.objectives[n].trains}
    for net in before.params:
      same = all(
        np.array_equal(a, b)
        for a, b in zip(
          jax.tree.leaves(before.params[net]),
          jax.tree.leaves(after.params[net]),
          strict=True,
        )
      )
      assert same == (net not in moving), (names, net)


@pytest.mark.parametrize('name', QUICK)
def test_outputs_have_the_image_grid_are_finite_and_deterministic(name):
  _, batch, _, state, _, infer = trained(name)
  key = jax.random.key(1)
  outputs = infer(state.params, state.stats, batch, key)
  again = infer(state.params, state.stats, batch, key)
  for output, value in outputs.items():
    assert value.dtype == jnp.float32 and value.shape[0] == 4, output
    assert jnp.isfinite(value).all(), output
    np.testing.assert_array_equal(value, again[output])
  for output in ('reconstruction', 'prior', 'gate', 'posterior'):
    if output in outputs:
      assert outputs[output].shape == batch['image'].shape
  if 'displacement' in outputs:
    assert outputs['displacement'].shape == (*batch['image'].shape[:-1], 2)


@pytest.mark.parametrize('name', QUICK)
def test_inference_never_reads_the_lesion(name):
  _, batch, _, state, _, infer = trained(name)
  key = jax.random.key(1)
  poisoned = {**batch, 'lesion': np.full_like(batch['mask'], np.nan)}
  expected = infer(state.params, state.stats, batch, key)
  found = infer(state.params, state.stats, poisoned, key)
  jax.tree.map(np.testing.assert_array_equal, expected, found)


@pytest.mark.parametrize('name', QUICK)
def test_the_state_survives_a_checkpoint(name, tmp_path):
  _, _, first, state, _, _ = trained(name)
  manager = checkpoint.manager(tmp_path)
  checkpoint.save(manager, 3, jax.device_put(state), {'train': {'next_index': 3}})
  step, found, streams = checkpoint.restore(manager, jax.device_put(first))
  assert step == 3 and streams == {'train': {'next_index': 3}}
  assert isinstance(found, State)
  jax.tree.map(np.testing.assert_array_equal, found, state)


def shapes_of(function, *arguments):
  return jax.eval_shape(function, *arguments)


def values_of(function, *arguments):
  found = jax.jit(function)(*arguments)
  assert all(jnp.isfinite(x).all() for x in jax.tree.leaves(found))
  return found


@pytest.mark.parametrize(
  'compute', [shapes_of, pytest.param(values_of, marks=pytest.mark.slow)]
)
@pytest.mark.parametrize('name', QUICK)
def test_volumes_by_the_shape_alone(name, compute):
  shape = (16, 16, 16)
  method = named('methods', name)(shape, channels=1, **ROWS[name][1])
  batch = make_batch(shape, size=1)
  key = jax.random.key(0)

  def shapes(key):
    params, stats = method.init(key, batch)
    losses = {
      n: o.loss(params, stats, batch, key, jnp.array(0))[0]
      for n, o in method.objectives.items()
    }
    return losses, method.infer(params, stats, batch, key)

  losses, outputs = compute(shapes, key)
  assert all(loss.shape == () for loss in losses.values())
  if 'reconstruction' in outputs:
    assert outputs['reconstruction'].shape == batch['image'].shape
