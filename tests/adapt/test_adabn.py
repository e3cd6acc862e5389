"""AdaBN: statistics over the whole set layer by layer, and what they undo."""

import jax
import numpy as np
import pytest

from tests.adapt.sweep import (
  make_method,
  rows,
  scattered,
  shuffled_passes,
  swept,
)
from tests.long_variants import all_but
from tests.method_table import ROWS, make_batch
from uad_jax.adapt import adabn, ema, voxel_moments
from uad_jax.method import Method, Objective
from uad_jax.nets import morphaeus
from uad_jax.update import on_target

LAYERS = (
  *(('encoder', f'level{i}') for i in (0, 1, 2)),
  *(('decoder', f'level{i}') for i in (2, 1, 0)),
  *(('deformer', f'level{i}') for i in (1, 0)),
)
"""Batch normalisations of the tiny dae, in the order of its inference."""

SHAPE, OPTIONS, _ = ROWS['dae']
NUMBER = 12


@pytest.fixture(scope='module')
def source():
  """The tiny dae with scattered parameters and statistics, and 12 target records."""
  method, batch = make_method('dae'), make_batch(SHAPE, NUMBER, seed=3)
  batch['image'] = 0.2 + 1.5 * batch['image']
  params, stats = jax.jit(method.init)(jax.random.key(1), batch)
  return method, scattered(params), scattered(stats, 1), batch


def adapted(source, size=4, batch=None, key=None, **options):
  """State after the sweep over the target records in batches."""
  method, params, stats, records = source
  batch = records if batch is None else batch
  batches = len(batch['image']) // size
  method = adabn.make(batches, **options)(method)
  start = jax.eval_shape(method.init, jax.random.key(0), batch)[1]['adabn']
  empty = jax.tree.map(lambda leaf: np.ones(leaf.shape, 'f4'), start)  # to be discarded
  passes = shuffled_passes(batch, size, len(LAYERS))
  targets = [{'few_shot': target} for target in passes]
  return swept(method, params, stats | {'adabn': empty}, targets, jax.random.key(0))


def inputs_of(params, stats, batch):
  """Input of each batch normalisation on all records at once, by network and layer.

  The networks are run by themselves, and flax captures the convolution before each
  normalisation.
  """
  networks = {
    'encoder': morphaeus.Encoder(OPTIONS['widths']),
    'decoder': morphaeus.Decoder(1, OPTIONS['widths']),
    'deformer': morphaeus.Deformer(OPTIONS['deformer_features'], OPTIONS['taps']),
  }
  captured = {}

  def run(name, *arguments):
    variables = {'params': params[name], 'batch_stats': stats[name]}
    outputs, state = networks[name].apply(
      variables,
      *arguments,
      batch['weight'],
      False,
      capture_intermediates=lambda module, _: module.name == 'conv',
    )
    for level, value in state['intermediates'].items():
      captured[name, level] = np.asarray(value['conv']['__call__'][0], np.float64)
    return outputs

  latent, encoded = run('encoder', batch['image'])
  _, decoded = run('decoder', latent)
  run('deformer', encoded, decoded)
  return captured


def by_numpy(params, stats, batch, share=1.0):
  """Statistics layer by layer: numpy's mean and variance over the whole set."""
  stats = jax.tree.map(np.array, stats)
  for network, level in LAYERS:
    values = inputs_of(params, stats, batch)[network, level]
    values = values.reshape(-1, values.shape[-1])
    layer = stats[network][level]['norm']
    layer['mean'] = (1 - share) * layer['mean'] + share * values.mean(0)
    layer['var'] = (1 - share) * layer['var'] + share * values.var(0, ddof=1)
    stats[network][level]['norm'] = {k: v.astype('f4') for k, v in layer.items()}
  return stats


def close(found, expected, atol=1e-5):
  for network in ('encoder', 'decoder', 'deformer'):
    jax.tree.map(
      lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=atol),
      found[network],
      expected[network],
    )


@pytest.mark.parametrize('size', all_but([4, NUMBER], [NUMBER]))
def test_statistics_are_those_of_numpy_over_the_whole_set(source, size):
  _, params, stats, batch = source
  state = adapted(source, size)
  close(state.stats, by_numpy(params, stats, batch))
  jax.tree.map(np.testing.assert_array_equal, state.params, params)


def test_a_mean_with_the_source_has_its_pseudo_count(source):
  _, params, stats, batch = source
  state = adapted(source, mode='mix', pseudo_count=36)
  # Schneider et al. 2020: n / (N + n) with n = 12 and N = 36.
  close(state.stats, by_numpy(params, stats, batch, share=12 / (36 + 12)))


def test_padding_examples_count_in_no_layer(source):
  _, params, stats, batch = source
  noise = np.full_like(batch['image'][:6], 9.0)
  padded = {
    name: np.concatenate([value, value[:6]]) for name, value in batch.items()
  } | {'image': np.concatenate([batch['image'], noise])}
  padded['weight'] = np.float32([1] * NUMBER + [0] * 6)
  close(adapted(source, 6, padded).stats, by_numpy(params, stats, batch))
  alone = rows(padded, np.arange(NUMBER, NUMBER + 6))
  close(adapted(source, 6, alone).stats, stats, atol=0)


def test_further_steps_change_nothing(source):
  method, params, _, batch = source
  state = adapted(source)
  method = adabn.make(3)(method)
  fit = method.objectives['adabn'].loss
  step = np.int32(3 * len(LAYERS))
  _, (stats, _) = jax.jit(fit)(params, state.stats, batch, jax.random.key(0), step)
  close(stats, state.stats, atol=0)


def test_a_linear_contrast_change_is_undone(source):
  method, params, _, batch = source
  darker = {**batch, 'image': 0.4 * batch['image']}
  infer = jax.jit(method.infer)
  key = jax.random.key(0)

  def prior(stats, batch):
    stats = {name: stats[name] for name in ('encoder', 'decoder', 'deformer')}
    return np.asarray(infer(params, stats, batch, key)['prior'])

  home = adapted(source).stats
  expected = prior(home, batch)
  unadapted = np.abs(prior(home, darker) - expected).max()
  there = adapted((method, params, home, darker)).stats
  # The first layer normalises a convolution of the scan, so that its gain drops out of
  # all layers, but for the constant added to the variance.
  assert unadapted > 0.01
  assert np.abs(prior(there, darker) - expected).max() < 0.01 * unadapted


def test_the_statistics_of_averaged_parameters_are_those_of_the_average(source):
  method, params, stats, batch = source
  whole = ema.make()(on_target(adabn.make()(method)))
  average = scattered(params, 5)
  _, start = jax.eval_shape(whole.init, jax.random.key(0), batch)
  collected = jax.tree.map(lambda leaf: np.zeros(leaf.shape, 'f4'), start['adabn'])
  start = stats | {'adabn': collected, 'ema': average}
  batches = [{'few_shot': batch}] * len(LAYERS)
  state = swept(whole, params, start, batches, jax.random.key(0))
  close(state.stats, by_numpy(average, stats, batch))
  jax.tree.map(np.testing.assert_array_equal, state.stats['ema'], average)


def test_other_kinds_of_statistics_are_untouched(source, key):
  method, params, stats, batch = source
  usual = {'count': np.ones(2, 'f4'), 'mean': np.ones(4, 'f4'), 'var': np.ones(4, 'f4')}
  others = {'codebook': {'mean': np.ones((3, 4), 'f4')}, 'usual': usual}
  kinds = {**method.kinds, 'codebook': 'codebook', 'usual': 'moments'}

  def infer(params, stats, batch, key):
    return method.infer(params, stats, batch, key)

  whole = Method(method.init, method.objectives, infer, kinds)
  state = adapted((whole, params, stats | others, batch))
  for name in others:
    jax.tree.map(np.testing.assert_array_equal, state.stats[name], others[name])
  assert adabn.make()(whole).kinds['adabn'] == 'features'
  assert set(state.stats) == {*stats, *others, 'adabn'}


def test_a_sweep_has_a_pass_for_each_layer(source):
  method, _, _, batch = source
  whole = voxel_moments.make()(
    adabn.make(2)(method._replace(kinds={**method.kinds, 'usual': 'moments'}))
  )
  stats = jax.eval_shape(whole.init, jax.random.key(0), batch)[1]
  assert whole.objectives['adabn'].passes(stats) == len(LAYERS)
  assert whole.objectives['voxel_moments'].passes is None


def test_one_batch_of_all_records_needs_one_step(source):
  method, params, stats, batch = source
  whole = adabn.make()(method)
  start = jax.eval_shape(whole.init, jax.random.key(0), batch)[1]['adabn']
  empty = jax.tree.map(lambda leaf: np.ones(leaf.shape, 'f4'), start)  # to be discarded
  assert whole.objectives['adabn'].passes({'adabn': start}) == 1
  state = swept(
    whole, params, stats | {'adabn': empty}, [{'few_shot': batch}], jax.random.key(0)
  )
  close(state.stats, by_numpy(params, stats, batch))


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    (dict(batches=0), 'adabn: batches is 0; allowed is a whole number of 1 or more'),
    (dict(mode='ema'), "adabn: unknown mode 'ema'; there are replace, mix"),
    (dict(pseudo_count=-1), 'adabn: pseudo_count is -1; allowed is a number of 0 or'),
  ],
)
def test_an_option_out_of_range_is_named(options, message):
  with pytest.raises(ValueError, match=message):
    adabn.make(**options)


def test_methods_without_batch_normalisation_are_refused(key):
  with pytest.raises(ValueError, match='no batch normalisation; channel_moments is'):
    adabn.make()(make_method('vae'))
  batch = make_batch((4, 4))

  def idle(params, stats, batch, key):
    return {}

  method = Method(
    lambda key, batch: ({}, {'norm': {'mean': np.zeros(1, 'f4')}}),
    {'fit': Objective(idle)},
    idle,
    {'norm': 'batch_norm'},
  )
  with pytest.raises(ValueError, match='runs no batch normalisation outside of a loop'):
    adabn.make()(method).init(key, batch)
