"""A gate of registered moments that also learns from painted lesions."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tests.registered_scans import OPTIONS, SHAPE, lesion_of, scans
from uad_jax.methods import moment_registration
from uad_jax.methods.families import robust_registration
from uad_jax.ops.scale_space import magnitude
from uad_jax.registration.gauss_newton import Problem, Schedule

LEARNT = dict(OPTIONS, rounds=1, gate_widths=(4, 8), painters=('constant',))


def fitted(steps):
  """The method after one pass over twelve scans and some steps of the network."""
  method = moment_registration.make(SHAPE, **LEARNT)
  batch, key = scans(12), jax.random.key(0)
  params, stats = method.init(key, batch)
  losses = []
  for name, objective in method.objectives.items():
    if name != 'gate':
      _, (stats, _) = jax.jit(objective.loss)({}, stats, batch, key, 0)
  tx = optax.adam(1e-2)
  moments = tx.init(params)

  @jax.jit
  def step(params, moments, key):
    loss = method.objectives['gate'].loss
    (value, _), slope = jax.value_and_grad(loss, has_aux=True)(
      params, stats, batch, key, 0
    )
    change, moments = tx.update(slope, moments)
    return optax.apply_updates(params, change), moments, value

  for number in range(steps):
    params, moments, value = step(params, moments, jax.random.fold_in(key, number))
    losses.append(float(value))
  return method, params, stats, losses


@pytest.fixture(scope='module')
def trained():
  return fitted(60)


def test_the_network_is_the_last_stage_and_learns(trained):
  method, params, _, losses = trained
  assert [*method.objectives] == ['usual', 'template_1', 'responses', 'gate']
  assert [o.stage for o in method.objectives.values()] == [0, 1, 2, 3]
  assert method.objectives['gate'].trains == ('gate',)
  assert np.mean(losses[-10:]) < 0.8 * np.mean(losses[:10])


def test_the_posterior_opens_the_gate_and_weighs_the_map(trained):
  method, params, stats, _ = trained
  block, batch = lesion_of(scans(2, first=50))
  outputs = jax.jit(method.infer)(params, stats, batch, jax.random.key(0))
  p, g = outputs['posterior'], outputs['gate']
  inside, outside = ((p * m).sum() / m.sum() for m in (block, 1 - block))
  assert float(inside) > 3 * float(outside)
  assert float((g - p).min()) > -1e-6
  t = magnitude(outputs['reconstruction_responses'])
  np.testing.assert_allclose(outputs['fused'], jnp.sqrt(p) * t, rtol=1e-5)
  logit = outputs['posterior_logit']
  np.testing.assert_allclose(p, jax.nn.sigmoid(logit), rtol=1e-5)


def test_what_is_suspected_counts_less_beside_the_residual():
  block, batch = lesion_of(scans(1))
  image = batch['image']
  problem = Problem(image, image, jnp.full_like(image, 0.01), 1 - 0 * block, 2.0)
  settings = robust_registration.Settings(2.0, 1, 8.0, Schedule((1,), 2, 0.1))
  z = 4.0 * (1 - block)

  def gate_of(suspected):
    start = jnp.zeros((*image.shape[:-1], 2))
    return robust_registration.refine(
      settings, problem, start, batch, jax.random.key(0), lambda _: z, suspected
    )['gate']

  alone = gate_of(0.0)
  np.testing.assert_allclose(alone, 1 - jnp.minimum(9 / (8 + z**2), 1), rtol=1e-5)
  np.testing.assert_allclose(
    gate_of(0.5 * block), jnp.maximum(alone, 0.5 * block), rtol=1e-5
  )
  np.testing.assert_array_equal(gate_of(jnp.ones_like(block)), 1.0)


@pytest.mark.parametrize(
  'options',
  [
    dict(painters=('constant',)),
    dict(gate_widths=(4,)),
    dict(gate_widths=(4,), painters=('constant',), scales=()),
  ],
)
def test_painters_network_and_scales_belong_together(options):
  with pytest.raises(ValueError, match='a network needs painters and scales'):
    moment_registration.make(SHAPE, **options)
