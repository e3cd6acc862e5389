"""FADA: losses against a loop over pairs, and who moves in which stage."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.adapt.two_domains import batches, moved, steps, tiny
from uad_jax.adapt import fada
from uad_jax.adapt.families import pair_groups
from uad_jax.train import Diverged, check_bounds

SMALL = dict(bins=2, pairs=6)


def by_hand(plain, params, stats, splits, key, number):
  """Log-probabilities of each group's pairs [n, G], one pair at a time."""
  key_pairs, key_source, key_target = jax.random.split(key, 3)
  codes = np.concatenate(
    [
      np.asarray(plain.infer(params, stats, splits[s], k)['latent']).mean((1, 2))
      for s, k in (('train', key_source), ('few_shot', key_target))
    ]
  )
  bins = [(splits[s]['position'] >= 0.5).astype(int) for s in ('train', 'few_shot')]
  labels = bins if number == 4 else [0 * b for b in bins]
  drawn = pair_groups.draw(
    key_pairs, *map(jnp.array, labels), jnp.ones(4), jnp.ones(4), 6, number
  )
  size = int(drawn.weight.sum())
  groups = []
  for g in range(number):
    rows = []
    for i, j in zip(drawn.first[g, :size], drawn.second[g, :size], strict=True):
      x = np.concatenate([codes[int(i)], codes[int(j)]])
      for name in ('Dense_0', 'Dense_1', 'Dense_2'):
        layer = jax.device_get(params['dcd'][name])
        x = x @ layer['kernel'] + layer['bias']
        x = np.maximum(x, 0) if name != 'Dense_2' else x
      rows.append(x - np.log(np.exp(x).sum()))
    groups.append(np.array(rows))
  return groups


@pytest.mark.slow
@pytest.mark.parametrize(
  ('classes', 'number'),
  [pytest.param('position', 4, marks=pytest.mark.slow), ('two', 2)],
)
def test_losses_are_those_of_the_paper(classes, number, key):
  plain, splits = tiny('vae'), batches()
  method = fada.make(classes, gamma=0.3, **SMALL)(plain)
  params, stats = method.init(key, splits['train'])
  loss, (_, metrics) = method.objectives['fada_dcd'].loss(
    params, stats, splits, key, jnp.array(0)
  )
  log_d = by_hand(plain, params, stats, splits, key, number)
  assert metrics['pairs'] == len(log_d[0]) > 1
  expected = -np.mean([rows[:, g].mean() for g, rows in enumerate(log_d)])
  np.testing.assert_allclose(loss, expected, rtol=1e-4)

  total, (_, metrics) = method.objectives['fada_vae'].loss(
    params, stats, splits, key, jnp.array(0)
  )
  log_d = by_hand(plain, params, stats, splits, jax.random.split(key, 3)[2], number)
  confused = log_d[1][:, 0].mean() + (log_d[3][:, 2].mean() if number == 4 else 0)
  np.testing.assert_allclose(
    total, metrics['source'] + metrics['target'] - 0.3 * confused, rtol=1e-4
  )


@pytest.mark.slow
@pytest.mark.parametrize(
  'classes',
  [
    'position',
    pytest.param('painted', marks=pytest.mark.slow),
    pytest.param('two', marks=pytest.mark.slow),
  ],
)
def test_first_the_discriminator_moves_alone_then_both_in_turn(classes, key):
  splits = batches(size=8)
  method = fada.make(classes, painters=('factor', 'shift'), **SMALL)(tiny('ae'))
  states, history = steps(method, (2, 4), splits, key)
  networks = {'autoencoder'}
  assert [moved(a, b) for a, b in zip(states[:2], states[1:3], strict=True)] == [
    {'dcd'},
    {'dcd'},
  ]
  assert moved(states[2], states[3]) == {'dcd'} | networks
  for metrics in history:
    assert all(np.isfinite(value) for value in metrics.values())


@pytest.mark.slow
def test_the_discriminator_may_move_more_often(key):
  method = fada.make(dcd_steps=2, **SMALL)(tiny('ae'))
  states, _ = steps(method, (1, 4), batches(), key)
  networks = [moved(a, b) for a, b in zip(states, states[1:], strict=False)]
  assert networks == [{'dcd'}, {'dcd', 'autoencoder'}, {'dcd'}, {'dcd', 'autoencoder'}]


@pytest.mark.slow
def test_the_objective_of_the_networks_does_not_change_the_discriminator(key):
  method = fada.make(**SMALL)(tiny('ae'))
  objectives = {
    name: method.objectives[name] for name in ('fada_dcd', 'fada_autoencoder')
  }
  method = method._replace(objectives=objectives)
  states, _ = steps(method, (1, 2), batches(), key)
  assert moved(states[0], states[1]) == {'dcd'}
  assert moved(states[1], states[2]) == {'autoencoder'}


@pytest.mark.parametrize(
  ('name', 'objective'),
  [
    pytest.param('vae', 'vae', marks=pytest.mark.slow),
    pytest.param('dae_unc', 'prior', marks=pytest.mark.slow),
  ],
)
def test_steps_of_both_stages_keep_losses_finite(name, objective, key):
  plain = tiny(name)
  method = fada.make(objectives=(objective,), **SMALL)(plain)
  states, history = steps(method, (1, 3), batches(), key)
  for metrics in history:
    assert all(np.isfinite(value) for value in metrics.values())
  networks = {'dcd', *plain.objectives[objective].trains}
  assert moved(states[0], states[-1]) == networks


def test_bins_without_a_pair_end_the_training(key):
  splits = batches()
  for batch in splits.values():
    batch['position'] = np.full(4, 0.5, np.float32)  # one bin holds all scans
  method = fada.make(**SMALL)(tiny('ae'))
  _, history = steps(method, (1,), splits, key)

  nowhere = SimpleNamespace(directory='nowhere', latest_step=lambda: None)
  with pytest.raises(Diverged, match='pairs 0, below 0.01, a sign of classes without'):
    check_bounds(method, (1, 2), 1, history[0], set(), nowhere)


def test_impossible_options_and_methods_are_refused(key):
  for options, sentence in (
    (dict(bins=1), 'fada: bins is 1; allowed is a whole number of 2 or more'),
    (dict(gamma=0), 'fada: gamma is 0; allowed is a number above 0'),
    (dict(pairs=0), 'fada: pairs is 0; allowed is a whole number of 1 or more'),
    (dict(dcd_steps=0), 'fada: dcd_steps is 0; allowed is a whole number'),
    (dict(classes='x'), "fada: unknown classes 'x'; there are position, painted, two"),
    (dict(classes='painted', painters=('x',)), "unknown painter 'x'; there are"),
  ):
    with pytest.raises(ValueError, match=sentence):
      fada.make(**options)
  method = fada.make()(tiny('denoising_ae'))
  with pytest.raises(ValueError, match='fada: the method has no latent code'):
    jax.eval_shape(lambda key: method.init(key, batches()['train']), key)


def test_volumes_have_no_bins_of_slice_height(key):
  volumes = batches((8, 8, 8), 2)['train']
  method = fada.make()(tiny('vae'))
  with pytest.raises(ValueError, match='the scans are volumes, which have no slice'):
    method.init(key, volumes)
