"""Skip connections exist, and dropout acts on nothing else."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.method_table import make_batch
from uad_jax.methods import skip_ae
from uad_jax.nets.skip_autoencoder import SkipAutoEncoder

TINY = dict(widths=(4, 8, 8), latent=4)
SHAPE = (16, 16)


def reconstructions(keys, batch=None, **options):
  method, batch = skip_ae.make(SHAPE, **TINY, **options), batch or make_batch(SHAPE, 2)
  params, stats = jax.jit(method.init)(jax.random.key(0), batch)
  infer = jax.jit(method.infer)
  return [np.asarray(infer(params, stats, batch, k)['reconstruction']) for k in keys]


@pytest.mark.parametrize('drop_maps', [False, True])
def test_dropout_is_on_at_inference_only_if_bayesian(drop_maps):
  keys = jax.random.split(jax.random.key(1))
  fixed = reconstructions(keys, bayesian=False, drop_maps=drop_maps)
  np.testing.assert_array_equal(*fixed)
  drawn = reconstructions(keys, bayesian=True, drop_maps=drop_maps)
  assert not np.allclose(*drawn, atol=1e-6)


def test_all_dropped_only_the_bottleneck_is_left(key):
  """At rate 1 fine detail that the bottleneck's latent does not hold cannot return."""
  image = make_batch(SHAPE, 2)['image']
  open_net = SkipAutoEncoder(SHAPE, 1, **TINY, dropout=0.0, bottleneck='dense')
  shut_net = open_net.clone(dropout=1.0)
  params = open_net.init(key, image)
  # A dense bottleneck that says the same of every image.
  blind = jax.tree.map(jnp.zeros_like, params['params']['ToVector_0'])
  params = {'params': {**params['params'], 'ToVector_0': blind}}
  for net, copies in ((open_net, True), (shut_net, False)):
    _, a = net.apply(params, image, False, rngs={'dropout': key})
    _, b = net.apply(params, image + 0.3, False, rngs={'dropout': key})
    assert np.allclose(a, b, atol=1e-6) == (not copies)


@pytest.mark.parametrize('whole', [False, True])
def test_whole_maps_are_dropped_if_asked(whole, key):
  image = make_batch(SHAPE, 2)['image']
  net = SkipAutoEncoder(SHAPE, 1, **TINY, dropout=0.5, drop_maps=whole)
  _, state = net.apply(
    net.init(key, image),
    image,
    False,
    rngs={'dropout': key},
    capture_intermediates=lambda module, _: isinstance(module, nn.Dropout),
  )
  maps = state['intermediates']['Dropout_0']['__call__']
  zero = [np.asarray(x == 0).mean((1, 2)).ravel() for x in maps]
  zero = np.concatenate(zero)  # of each map the share that was dropped
  assert 0.2 < zero.mean() < 0.8
  assert ((zero < 0.1) | (zero == 1)).all() == whole  # a corner may be 0 by itself


@pytest.mark.parametrize('bottleneck', ['dense', 'spatial'])
@pytest.mark.parametrize('shape', [(16, 8), (8, 16, 8)])
def test_two_and_three_dimensions(shape, bottleneck):
  method, batch = skip_ae.make(shape, **TINY, bottleneck=bottleneck), make_batch(shape)

  def run(key):
    params, stats = method.init(key, batch)
    value, _ = method.objectives['autoencoder'].loss(params, stats, batch, key, 0)
    return value, method.infer(params, stats, batch, key)

  value, outputs = jax.eval_shape(run, jax.random.key(0))
  assert value.shape == ()
  assert outputs['reconstruction'].shape == batch['image'].shape
  assert (outputs['latent'].ndim == 2) == (bottleneck == 'dense')


def test_padding_and_background_have_no_influence(key):
  method, batch = (
    skip_ae.make(SHAPE, **TINY, dropout=0.0, bayesian=False),
    make_batch(SHAPE, 2),
  )
  params, stats = jax.jit(method.init)(key, batch)
  loss = jax.jit(method.objectives['autoencoder'].loss)
  restored = jax.jit(method.infer)(params, stats, batch, key)['reconstruction']
  # Oracle: numpy over the brain.
  error = np.abs(batch['image'] - np.asarray(restored)) * batch['mask']
  odd = {name: np.concatenate([x, x[:1]]) for name, x in batch.items()}
  odd['image'][2] += 7.0
  odd['weight'][2] = 0
  for given in (batch, odd):
    np.testing.assert_allclose(
      loss(params, stats, given, key, 0)[0], error.sum() / 2, rtol=1e-4
    )


@pytest.mark.parametrize(
  'wrong, sentence',
  [
    (dict(bottleneck='wide'), "unknown bottleneck 'wide'; there are dense"),
    (dict(dropout=0.0), 'bayesian inference needs a dropout above 0'),
  ],
)
def test_what_is_not_possible_is_told(wrong, sentence):
  with pytest.raises(ValueError, match=sentence):
    skip_ae.make(SHAPE, **wrong)
