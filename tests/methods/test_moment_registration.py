"""Registered moments: what the template gains, and what the gate hides."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.registered_scans import OPTIONS, SHAPE, fitted, lesion_of, scans
from uad_jax.methods import moment_registration
from uad_jax.ops.scale_space import magnitude


@pytest.fixture(scope='module')
def trained():
  return fitted()


def infer(method, stats, batch):
  return jax.jit(method.infer)({}, stats, batch, jax.random.key(0))


@pytest.fixture(scope='module')
def inferred(trained):
  """Scans with a lesion, with and without the gate, and their lesion-free twins."""
  method, stats, _ = trained
  healthy = scans(2, first=50)
  block, batch = lesion_of(healthy)
  groups = (batch, batch, healthy)
  together = {
    name: jnp.concatenate([group[name] for group in groups]) for name in healthy
  }
  together['open'] = jnp.array([1.0, 1, 0, 0, 1, 1])
  outputs = infer(method, stats, together)
  parts = [
    {name: value[i : i + 2] for name, value in outputs.items()} for i in (0, 2, 4)
  ]
  return block, together['image'], *parts


@pytest.mark.slow
def test_healthy_scans_vary_less_after_registration(trained, inferred):
  *_, outputs = inferred
  before, after = (
    float(jnp.exp(outputs[f'{name}_log_variance']).mean())
    for name in ('usual', 'prior')
  )
  assert after < 0.3 * before
  metrics = trained[2]
  assert metrics['folded'] == 0 and 0.5 < metrics['largest'] < 6


def test_registration_explains_the_healthy_and_not_the_lesion(inferred):
  block, image, gated, free, of_twin = inferred

  def error(outputs, name, image, where):
    return float((jnp.abs(image - outputs[name]) * where).sum())

  twin = image[4:]
  registered, usual = (
    error(of_twin, name, twin, 1 - block) for name in ('reconstruction', 'usual')
  )
  assert registered < 0.5 * usual
  kept, lost = (
    error(outputs, 'reconstruction', image[:2], block) for outputs in (gated, free)
  )
  assert kept > lost
  change = [
    float(jnp.abs(outputs['displacement'] - of_twin['displacement']).mean())
    for outputs in (gated, free)
  ]
  assert change[0] < 0.75 * change[1]


def test_the_gate_is_open_at_the_lesion_alone(inferred):
  block, _, gated, free, of_twin = inferred
  assert float((gated['gate'] * block).sum() / block.sum()) > 0.7
  assert float(of_twin['gate'].mean()) < 0.2
  assert float(free['gate'].max()) == 0


def test_a_given_gate_replaces_the_own(trained):
  method, stats, _ = trained
  healthy = scans(2, first=50)
  block, batch = lesion_of(healthy)
  given = infer(method, stats, batch | {'hidden': block})
  np.testing.assert_array_equal(given['gate'], block)
  twin = infer(method, stats, healthy | {'hidden': block})
  assert float(jnp.abs(given['displacement'] - twin['displacement']).mean()) < 0.05


def test_without_rounds_and_reweighting_it_is_the_atlas_and_a_uniform_field():
  method, stats, _ = fitted(rounds=0, reweightings=0)
  assert list(method.objectives) == ['usual', 'responses']
  batch = scans(2)
  outputs = infer(method, stats, batch | {'strength': jnp.full(2, 1e6)})
  np.testing.assert_allclose(outputs['reconstruction'], outputs['usual'], atol=1e-2)
  assert float(outputs['gate'].max()) == 0


@pytest.mark.slow
def test_compositions_explain_more_of_the_healthy_and_draws_lie_around_them(trained):
  _, stats, _ = trained
  batch = scans(2, first=50, size=3.0)
  found = {}
  for number in (0, 2):
    options = {**OPTIONS, 'stiffness': 20.0, 'compositions': number}
    method = moment_registration.make(SHAPE, **options, draws=8)
    found[number] = infer(method, stats, batch | {'open': jnp.zeros(2)})
  errors = [
    float(jnp.abs(batch['image'] - outputs['reconstruction']).mean())
    for outputs in found.values()
  ]
  assert errors[1] < 0.8 * errors[0]
  outputs = found[2]
  around = outputs['displacement_members'].mean(1) - outputs['displacement']
  spread = outputs['displacement_members'].std(1)
  assert float(jnp.abs(around).mean()) < float(spread.mean()) > 0


def test_responses_of_new_healthy_scans_are_about_one_and_of_lesions_far_above(trained):
  method, stats, _ = trained
  healthy = scans(6, first=50)
  block, batch = lesion_of(healthy)
  for name in ('reconstruction', 'usual'):
    of_healthy, of_lesion = (
      magnitude(infer(method, stats, b)[f'{name}_responses']) for b in (healthy, batch)
    )
    assert 0.3 < float(jnp.sqrt((of_healthy**2).mean())) < 1.5, name
    assert float(of_lesion[:, 11:13, 10:13].min()) > 2.5, name


def test_without_scales_the_weights_follow_from_the_residual_of_a_voxel():
  method, stats, _ = fitted(scales=())
  assert list(method.objectives)[-1] == 'template_2' and 'responses' not in stats
  block, batch = lesion_of(scans(2, first=50))
  outputs = infer(method, stats, batch)
  assert 'reconstruction_responses' not in outputs
  assert float((outputs['gate'] * block).sum() / block.sum()) > 0.7


def test_padding_and_order_do_not_count():
  method = moment_registration.make(SHAPE, **{**OPTIONS, 'rounds': 1})
  batch, key = scans(3), jax.random.key(0)
  _, stats = method.init(key, batch)
  fit = jax.jit(lambda s, b: [
    s := o.loss({}, s, b, key, 0)[1][0] for o in method.objectives.values()
  ][-1])  # fmt: skip
  padded = {name: x[jnp.array([1, 0, 2, 2])] for name, x in batch.items()}
  padded['weight'] = jnp.array([1.0, 1.0, 1.0, 0.0])
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4),
    fit(stats, batch),
    fit(stats, padded),
  )


@pytest.mark.parametrize(
  'options, sentence',
  [
    (dict(rounds=-1), 'rounds is -1; allowed is a whole number of 0 or more'),
    (dict(scales=(1.0, -2.0)), 'scales is -2.0; allowed is a number of 0 or more'),
    (dict(scale_floor=-0.5), 'scale_floor is -0.5; allowed is a number of 0 or more'),
    (dict(stiffness=0.0), 'stiffness is 0.0; allowed is a number above 0'),
  ],
)
def test_impossible_numbers_are_refused(options, sentence):
  with pytest.raises(ValueError, match=sentence):
    moment_registration.make(SHAPE, **options)


@pytest.mark.slow
def test_with_draws_the_variance_of_the_registration_is_added(trained):
  _, stats, _ = trained
  method = moment_registration.make(SHAPE, **OPTIONS, draws=8)
  plain = moment_registration.make(SHAPE, **OPTIONS)
  batch = scans(1, first=50)
  hidden = jnp.zeros_like(batch['mask']).at[:, 6:18, 6:18].set(1.0)
  fixed = {**batch, 'hidden': hidden}
  found, expected = infer(method, stats, fixed), infer(plain, stats, fixed)
  np.testing.assert_allclose(found['displacement'], expected['displacement'], atol=1e-5)
  assert found['displacement_members'].shape == (1, 8, *SHAPE, 2)
  added = jnp.exp(found['reconstruction_log_variance'])
  added -= jnp.exp(expected['reconstruction_log_variance'])
  members = np.asarray(found['reconstruction_members'])
  np.testing.assert_allclose(added, members.var(1, ddof=1), rtol=1e-3, atol=1e-5)
  # What is hidden is known from its surroundings only.
  seen = infer(method, stats, {**batch, 'hidden': 0 * hidden})
  within, before = (
    float((o['displacement_members'].std(1).mean(-1, keepdims=True) * hidden).sum())
    for o in (found, seen)
  )
  assert within > 1.2 * before


def test_a_scan_that_differs_everywhere_is_not_hidden(trained):
  method, stats, _ = trained
  batch = scans(2, first=50)
  brighter = batch | {'image': batch['image'] + 0.3}
  outputs = infer(method, stats, brighter)
  assert float(jnp.median(magnitude(outputs['reconstruction_responses']))) > 1
  assert float(outputs['gate'].mean()) < 0.4
