"""Channel moments: layer by layer against numpy, the identity, and what they undo."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.adapt.sweep import make_method, rows, scattered, shuffled_passes, swept
from tests.method_table import make_batch
from uad_jax.adapt import channel_moments, ema
from uad_jax.method import Method
from uad_jax.nets.layers.group_norm import GroupNorm
from uad_jax.update import on_target

SHAPE, NUMBER, WIDTH = (6, 5), 8, 4


class Net(nn.Module):
  """Two normalised layers, and a sum over the channels."""

  @nn.compact
  def __call__(self, x):
    for _ in range(2):
      x = nn.silu(GroupNorm(2)(nn.Dense(WIDTH, use_bias=False)(x)))
    return x.sum(-1, keepdims=True)


def small(repeat=lambda run, x: run(x)):
  """A method whose inference runs `Net` on the scan, and then on its output."""
  net = Net()

  def init(key, batch):
    return {'net': net.init(key, batch['image'])['params']}, {}

  def infer(params, stats, batch, key):
    def run(x):
      return net.apply({'params': params['net']}, x)

    prior = repeat(run, jnp.asarray(batch['image']))
    return {'prior': prior, 'reconstruction': repeat(run, prior)}

  return Method(init, {}, infer)


def domains(shape=SHAPE):
  source = make_batch(shape, NUMBER, seed=1)
  target = make_batch(shape, NUMBER, seed=2)
  target['image'] = (0.3 + 1.4 * target['image'] ** 1.5) * target['mask']
  return source, target


def adapted(method, params, stats, source, target, size=4):
  """State after the sweep over source and target scans in batches."""
  batches = len(target['image']) // size
  whole = channel_moments.make(batches)(method)
  shapes = jax.eval_shape(whole.init, jax.random.key(0), target)[1]
  start = jax.tree.map(lambda x: np.zeros(x.shape, 'f4'), shapes['channel_moments'])
  passes = whole.objectives['channel_moments'].passes({'channel_moments': start})
  both = zip(
    shuffled_passes(source, size, passes, 1),
    shuffled_passes(target, size, passes, 2),
    strict=True,
  )
  both = ({'train': home, 'few_shot': there} for home, there in both)
  start = stats | {'channel_moments': start}
  return whole, swept(whole, params, start, both, jax.random.key(0))


def normalised(x, layer):
  """Group normalisation by numpy, of features [B, *S, C] in two groups."""
  groups = x.reshape(len(x), -1, 2, WIDTH // 2)
  mean = groups.mean((1, 3), keepdims=True)
  spread = np.sqrt(groups.var((1, 3), keepdims=True) + 1e-6)
  return ((groups - mean) / spread).reshape(x.shape) * layer['scale'] + layer['bias']


def run_by_numpy(params, x, changes=()):
  """Output of `Net`, and those of its normalisations before they are changed."""
  outputs = []
  for index in range(2):
    x = x @ params[f'Dense_{index}']['kernel']
    x = normalised(x, params[f'GroupNorm_{index}'])
    outputs.append(x.reshape(-1, WIDTH))
    if index < len(changes):
      (mean, spread), (target_mean, target_spread) = changes[index]
      x = (x - target_mean) / target_spread * spread + mean
    x = x / (1 + np.exp(-x))
  return x.sum(-1, keepdims=True), outputs


def changes_by_numpy(params, source, target):
  """Mean and deviation of each channel on source and target scans, by layer."""
  changes = []
  for index in range(2):
    home = run_by_numpy(params, source)[1][index]
    there = run_by_numpy(params, target, changes)[1][index]
    changes.append([(values.mean(0), values.std(0)) for values in (home, there)])
  return changes


@pytest.fixture(scope='module')
def toy():
  method = small()
  params, _ = method.init(jax.random.key(3), domains()[0])
  return method, scattered(params)


@pytest.mark.parametrize('size', [2, NUMBER])
def test_moments_and_outputs_are_those_of_numpy_layer_by_layer(toy, size):
  method, params = toy
  source, target = domains()
  whole, state = adapted(method, params, {}, source, target, size)
  network = jax.tree.map(np.float64, params['net'])
  changes = changes_by_numpy(network, source['image'], target['image'])
  for index, pair in enumerate(changes):
    layer = state.stats['channel_moments'][f'net/GroupNorm_{index}']
    for domain, (mean, spread) in zip(('source', 'target'), pair, strict=True):
      np.testing.assert_allclose(layer[domain]['mean'], mean, atol=1e-5)
      deviation = np.sqrt(layer[domain]['square'] / layer[domain]['count'])
      np.testing.assert_allclose(deviation, spread, atol=1e-5)
  outputs = whole.infer(params, state.stats, target, jax.random.key(0))
  prior, _ = run_by_numpy(network, np.float64(target['image']), changes)
  np.testing.assert_allclose(outputs['prior'], prior, atol=1e-4)
  again, _ = run_by_numpy(network, prior, changes)  # the second call of each layer
  np.testing.assert_allclose(outputs['reconstruction'], again, atol=1e-3)
  jax.tree.map(np.testing.assert_array_equal, state.params, params)


def test_padding_examples_count_in_no_moment(toy):
  method, params = toy
  source, target = domains()
  _, expected = adapted(method, params, {}, source, target)

  def padded(batch):
    more = rows(batch, np.arange(4))
    more = more | {'image': more['image'] + 7.0, 'weight': np.zeros(4, 'f4')}
    return {name: np.concatenate([value, more[name]]) for name, value in batch.items()}

  _, state = adapted(method, params, {}, padded(source), padded(target), 6)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5),
    state.stats,
    expected.stats,
  )


def test_layers_are_unchanged_before_the_estimate_and_where_the_domains_agree(toy):
  method, params = toy
  source, _ = domains()
  key = jax.random.key(0)
  plain = method.infer(params, {}, source, key)
  whole, state = adapted(method, params, {}, source, source)
  empty = jax.tree.map(np.zeros_like, state.stats)
  jax.tree.map(
    np.testing.assert_array_equal, whole.infer(params, empty, source, key), plain
  )
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4),
    whole.infer(params, state.stats, source, key),
    plain,
  )


def test_a_linear_contrast_change_is_undone(toy):
  # Scans with the same intensities in other places: group normalisation removes the
  # gain, and what the offset does to a channel is the same in all of them.
  method, params = toy
  source, key = domains()[0], jax.random.key(0)
  rng = np.random.default_rng(0)
  values = [rng.permutation(source['image'][0].ravel()) for _ in range(NUMBER)]
  source = {**source, 'image': np.reshape(values, source['image'].shape)}
  target = {**source, 'image': 0.5 + 0.4 * source['image']}
  expected = method.infer(params, {}, source, key)['prior']
  before = method.infer(params, {}, target, key)['prior']
  whole, state = adapted(method, params, {}, source, target)
  after = whole.infer(params, state.stats, target, key)['prior']
  change, rest = (np.abs(x - expected).max() for x in (before, after))
  assert change > 0.1 and rest < 1e-3 * change


@pytest.mark.slow
def test_a_linear_contrast_change_is_undone_in_part_by_a_network_of_convolutions():
  # Their padding at the edge of the image is not that of a changed image.
  method = make_method('vae')
  source, key = make_batch((16, 16), NUMBER, seed=1), jax.random.key(0)
  target = {**source, 'image': 0.5 + 0.4 * source['image']}
  params, stats = jax.jit(method.init)(jax.random.key(1), source)
  expected = method.infer(params, stats, source, key)['reconstruction']
  before = method.infer(params, stats, target, key)['reconstruction']
  whole, state = adapted(method, params, stats, source, target)
  after = whole.infer(params, state.stats, target, key)['reconstruction']
  change, rest = (np.abs(x - expected).mean() for x in (before, after))
  assert change > 0.001 and rest < 0.6 * change


def test_the_moments_of_averaged_parameters_are_those_of_the_average(toy):
  method, params = toy
  source, target = domains()
  average = scattered(params, 5)
  _, expected = adapted(method, average, {}, source, target, NUMBER)
  whole = ema.make()(on_target(channel_moments.make()(method)))
  empty = jax.tree.map(np.zeros_like, expected.stats)
  batches = [{'train': source, 'few_shot': target}] * 2
  key = jax.random.key(0)
  state = swept(whole, params, empty | {'ema': average}, batches, key)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6),
    state.stats['channel_moments'],
    expected.stats['channel_moments'],
  )
  inner = channel_moments.make()(method)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5),
    whole.infer(params, state.stats, target, key),
    inner.infer(average, expected.stats, target, key),
  )


def test_a_layer_that_also_runs_in_a_loop_is_changed_there(toy):
  _, params = toy
  source, target = domains()
  key = jax.random.key(0)

  calls = []

  def alternating(run, x):
    calls.append(run)
    if len(calls) % 2:
      return run(x)
    return jax.lax.scan(lambda y, _: (run(y), None), x, None, 1)[0]

  whole, state = adapted(small(alternating), params, {}, source, target)
  straight, expected = adapted(small(), params, {}, source, target)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5),
    state.stats,
    expected.stats,
  )
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4),
    whole.infer(params, state.stats, target, key),
    straight.infer(params, expected.stats, target, key),
  )


@pytest.mark.parametrize('name', ['dae', 'atlas', 'ddpm'])
def test_methods_without_group_normalisation_outside_of_a_loop_are_refused(name, key):
  method = channel_moments.make()(make_method(name))
  batch = make_batch((16, 16))
  with pytest.raises(ValueError, match='no group normalisation outside of a loop'):
    jax.eval_shape(lambda key: method.init(key, batch), key)


def test_the_number_of_batches_is_checked(toy):
  with pytest.raises(ValueError, match='channel_moments: batches is 0; allowed is a'):
    channel_moments.make(batches=0)
  assert channel_moments.make()(toy[0]).kinds['channel_moments'] == 'features'
