"""Behaviour shared by the methods with a critic and by the constrained auto-encoder."""

import jax
import numpy as np
import pytest

from tests.long_variants import all_but
from tests.method_table import ROWS, make_batch, trained
from uad_jax.registry import named

FAMILY = ('cae', 'aae', 'caae', 'fanogan', 'anovaegan')
ADVERSARIES = tuple(name for name in FAMILY if name != 'cae')


def losses(name, batch):
  method, _, _, state, _, _ = trained(name)
  key = jax.random.key(3)

  @jax.jit
  def run(batch):
    return {
      n: o.loss(state.params, state.stats, batch, key, 0)[0]
      for n, o in method.objectives.items()
    }

  return run(batch)


@pytest.mark.parametrize('name', all_but(FAMILY, ('cae', 'aae')))
def test_padding_and_background_have_no_influence(name):
  batch = make_batch(ROWS[name][0])
  batch['weight'][-1] = 0
  expected = losses(name, batch)
  noise = np.random.default_rng(0).normal(size=batch['image'].shape).astype('float32')
  outside = {**batch, 'image': batch['image'] + noise * (1 - batch['mask'])}
  padded = {**batch, 'image': batch['image'].copy()}
  padded['image'][-1] = noise[-1]
  for changed in (outside, padded):
    found = losses(name, changed)
    for objective, value in expected.items():
      np.testing.assert_allclose(found[objective], value, rtol=1e-6, err_msg=objective)


@pytest.mark.slow
@pytest.mark.parametrize('name', FAMILY)
def test_the_reconstruction_is_the_brains_and_does_not_read_the_background(name):
  _, batch, _, state, _, infer = trained(name)
  outputs = infer(state.params, state.stats, batch, jax.random.key(0))
  assert not (np.asarray(outputs['reconstruction']) * (1 - batch['mask'])).any()
  noisy = {**batch, 'image': batch['image'] + (1 - batch['mask'])}
  again = infer(state.params, state.stats, noisy, jax.random.key(0))
  np.testing.assert_array_equal(outputs['latent'], again['latent'])


@pytest.mark.parametrize('name', ADVERSARIES)
def test_a_critics_step_moves_the_critic_only_and_reports_its_divergence(name):
  _, _, _, _, history, _ = trained(name)
  alone = [h for h in history if h[0] == ('critic',)]
  assert alone
  for _, before, after, metrics in alone:
    kept = {net for net in before.params if net != 'critic'}
    for net in kept:
      jax.tree.map(np.testing.assert_array_equal, before.params[net], after.params[net])
    assert set(metrics) == {
      'critic/loss',
      'critic/wasserstein',
      'critic/gradient_norm',
    }
  expected = alone[0][3]
  assert expected['critic/gradient_norm'] > 0


@pytest.mark.parametrize('name', ADVERSARIES)
def test_the_critic_moves_each_step_and_the_others_every_nth(name):
  shape, options, _ = ROWS[name]
  method = named('methods', name)(shape, **{**options, 'critic_steps': 7})
  every = {n: o.every for n, o in method.objectives.items() if o.stage == 0}
  assert every.pop('critic') == 1
  assert set(every.values()) == {7}
