"""The package's own encoder and decoder: grids, bottleneck, and predicted variance."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from uad_jax.nets.encoder_decoder import (
  LOG_VARIANCE,
  AutoEncoder,
  Decoder,
  Decoding,
  Encoder,
  UpBlock,
)

WIDTHS, LATENT = (8, 16), 3
BOTTLENECK = pytest.mark.parametrize('bottleneck', ['spatial', 'dense'])


def auto_encoder(shape, bottleneck='spatial', position=True):
  return AutoEncoder(shape, 1, WIDTHS, LATENT, bottleneck, position)


def started(init, key, *inputs, **options):
  """Parameters at random values, those that start at zero included."""
  params = jax.jit(init)(key, *inputs, **options)['params']
  return jax.tree.map(lambda p: p + 0.1 * jax.random.normal(key, p.shape), params)


def scans(key, shape):
  """Two images and their slice heights."""
  return jax.random.normal(key, (2, *shape, 1)), jnp.array([0.2, 0.7])


@pytest.mark.parametrize(
  'shape, coarse', [((7, 5), (2, 2)), ((9, 6), (3, 2)), ((5, 3, 6), (2, 1, 2))]
)
def test_odd_grids_come_back_to_their_shape(shape, coarse):
  image = jnp.zeros((2, *shape, 1))

  def there_and_back(key):
    z, _ = Encoder(WIDTHS, LATENT).init_with_output(key, image)
    return z, Decoder(shape, WIDTHS[::-1]).init_with_output(key, z)[0]

  z, features = jax.eval_shape(there_and_back, jax.random.key(0))
  assert z.shape == (2, *coarse, LATENT)
  assert features.shape == (2, *shape, WIDTHS[0])


@BOTTLENECK
@pytest.mark.parametrize('shape', [(7, 5), (5, 3, 6)])
def test_reconstructions_of_odd_grids(shape, bottleneck):
  image, position = jnp.zeros((2, *shape, 1)), jnp.zeros(2)
  (z, mean, log_variance), _ = jax.eval_shape(
    auto_encoder(shape, bottleneck).init_with_output,
    jax.random.key(0),
    image,
    position,
  )
  assert mean.shape == log_variance.shape == image.shape
  coarse = tuple(-(-n // 4) for n in shape)
  assert z.shape[1:] == (
    (*coarse, LATENT) if bottleneck == 'spatial' else (8 * LATENT,)
  )


@pytest.mark.parametrize(
  'shape, grid',
  [
    ((9, 8), (18, 16)),  # doubled, on the coarse grid
    ((3, 4), (6, 8)),  # doubled, small
    ((9, 8), (17, 16)),  # not doubled
    ((5, 4, 6), (10, 8, 12)),
    ((3, 2, 4), (5, 4, 7)),
  ],
)
def test_up_block_is_interpolation_then_a_convolution_with_the_skip(shape, grid, key):
  key_x, key_skip, key_vector, key_params = jax.random.split(key, 4)
  x = jax.random.normal(key_x, (2, *shape, 5))
  skip = jax.random.normal(key_skip, (2, *grid, 3))
  vector = jax.random.normal(key_vector, (2, 4))
  block = UpBlock(16)
  init, apply = (
    functools.partial(method, grid=grid) for method in (block.init, block.apply)
  )
  inputs = {'x': x, 'skip': skip, 'vector': vector}
  params = started(init, key_params, **inputs)
  y = jax.jit(apply)({'params': params}, **inputs)

  # Oracle: jax.image.resize, one lax convolution of the concatenation, and
  # flax.linen.GroupNorm with FiLM and swish.
  fine = jax.image.resize(x, (2, *grid, 5), 'linear')
  joined = jnp.concatenate([fine, skip], -1)
  kernel = jnp.concatenate([params['kernel'], params['Conv_0']['kernel']], -2)
  space = 'XYZ'[: len(grid)]
  names = (f'N{space}C', f'{space}IO', f'N{space}C')
  expected = jax.lax.conv_general_dilated(
    joined, kernel, (1,) * len(grid), 'SAME', dimension_numbers=names
  )
  expected = nn.GroupNorm(2).apply({'params': params['GroupNorm_0']}, expected)
  film = nn.Dense(32).apply({'params': params['Dense_0']}, vector)
  scale, shift = jnp.split(film.reshape(2, *[1] * len(grid), 32), 2, -1)
  expected = jax.nn.swish(expected * (1 + scale) + shift)
  np.testing.assert_allclose(y, expected, atol=1e-4)


@pytest.mark.parametrize(
  'shape, bottleneck', [((8, 8), 'dense'), ((4, 5, 4), 'spatial')]
)
def test_the_decoder_sees_the_latent_and_the_slice_height_only(shape, bottleneck, key):
  image, position = scans(key, shape)
  net = auto_encoder(shape, bottleneck)
  params = started(net.init, key, image, position)
  run = jax.jit(net.apply)

  def outputs(params, image, position):
    return [np.asarray(x) for x in run({'params': params}, image, position)]

  # An encoder whose latent is the same for every image.
  last = ('Encoder_0', 'Conv_0') if bottleneck == 'spatial' else ('Dense_0',)
  path = tuple(jax.tree_util.DictKey(name) for name in (*last, 'kernel'))
  blind = jax.tree_util.tree_map_with_path(
    lambda place, p: jnp.zeros_like(p) if place == path else p, params
  )
  for chosen, copies in ((params, True), (blind, False)):
    first, second = (outputs(chosen, x, position) for x in (image, image[::-1] + 1))
    for a, b in zip(first, second, strict=True):
      assert (a == b).all() == (not copies)
  # The height reaches mean and log-variance.
  (z, *first), (same, *second) = (
    outputs(blind, image, height) for height in (position, position + 0.1)
  )
  np.testing.assert_array_equal(z, same)
  assert not any(np.allclose(a, b) for a, b in zip(first, second, strict=True))


def test_without_position_the_slice_height_has_no_influence(key):
  image, position = scans(key, (8, 8))
  net = auto_encoder((8, 8), position=False)
  params = {'params': started(net.init, key, image, position)}
  run = jax.jit(net.apply)
  jax.tree.map(
    np.testing.assert_array_equal,
    run(params, image, position),
    run(params, image, position + 0.1),
  )


@pytest.mark.parametrize('kind', ['auto-encoder', 'decoding'])
def test_log_variances_stay_within_their_range(kind, key):
  shape = (8, 8)
  image, position = scans(key, shape)
  if kind == 'decoding':
    net = Decoding(shape, 1, WIDTHS[::-1])
    inputs = jax.random.normal(key, (2, 2, 2, LATENT)), None
  else:
    net, inputs = auto_encoder(shape), (image, position)
  params = started(net.init, key, *inputs)
  heads = {name: part for name, part in params.items() if name.startswith('Head')}
  large = {
    name: {**part, 'kernel': 1e3 * part['kernel']} for name, part in heads.items()
  }
  mean, log_variance = jax.jit(net.apply)({'params': {**params, **large}}, *inputs)[-2:]
  assert (log_variance.min(), log_variance.max()) == LOG_VARIANCE
  assert np.abs(mean).max() > 10 * max(np.abs(LOG_VARIANCE))


@pytest.mark.parametrize(
  'net, size',
  [
    (Decoder((4, 3), (8, 8, 8)), (1, 1, LATENT)),
    (Decoding((4, 3), 1, (8, 8, 8)), (1, 1, LATENT)),
    (AutoEncoder((4, 3), 1, (8, 8, 8), 1, 'spatial', False), (4, 3, 1)),
    (AutoEncoder((4, 3), 1, (8, 8, 8), 1, 'dense', False), (4, 3, 1)),
  ],
  ids=['decoder', 'decoding', 'spatial', 'dense'],
)
def test_a_grid_that_cannot_be_halved_so_often_is_refused(net, size):
  sentence = r'the shape \(4, 3\) cannot be halved 3 times; allowed are up to 2'
  with pytest.raises(ValueError, match=sentence):
    jax.eval_shape(net.init, jax.random.key(0), jnp.zeros((2, *size)), None)


@BOTTLENECK
def test_the_log_variance_trains_its_head_only(bottleneck, key):
  shape = (8, 8)
  image, position = scans(key, shape)
  net = auto_encoder(shape, bottleneck)
  params = started(net.init, key, image, position)

  def slopes(output):
    """Largest gradient of a sum of squares in each part of the network."""

    def energy(params):
      return (net.apply({'params': params}, image, position)[output] ** 2).sum()

    gradient = jax.jit(jax.grad(energy))(params)
    return {
      name: max(float(np.abs(g).max()) for g in jax.tree.leaves(part))
      for name, part in gradient.items()
    }

  mean, log_variance = slopes(1), slopes(2)
  assert {name for name, slope in log_variance.items() if slope} == {'Head_1'}
  assert {name for name, slope in mean.items() if slope} == {*params} - {'Head_1'}
