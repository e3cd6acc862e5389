"""Normal distributions of features by place, against numpy, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.method_table import ROWS, make_batch, trained
from uad_jax.adapt import padim
from uad_jax.method import Method
from uad_jax.ops import memory
from uad_jax.registry import named


def toy():
  """A method whose features are the image and its square."""

  def infer(params, stats, batch, key):
    image = batch['image']
    return {'features': jnp.concatenate([image, image**2], -1)}

  return Method(lambda key, batch: ({}, {}), {}, infer)


def test_the_distance_is_that_of_numpy(key):
  image = jax.random.normal(key, (30, 3, 2, 1))
  batch = {
    'image': image,
    'mask': jnp.ones_like(image),
    'position': jnp.zeros(30),
    'weight': jnp.ones(30).at[20:].set(0.0),
  }
  method = padim.make(bins=1, smooth=0.0, floor=0.3)(toy())
  _, stats = method.init(key, batch)
  _, (stats, _) = jax.jit(method.objectives['padim'].loss)({}, stats, batch, key, 0)
  found = np.asarray(jax.jit(method.infer)({}, stats, batch, key)['novelty'])
  features = np.concatenate([image, image**2], -1)[..., padim_order(2)]
  scaled = np.float64(features) / features.std((0, 1, 2))
  known = scaled[:20, 1, 1]
  covariance = np.cov(known.T, bias=True) + 0.09 * np.eye(2)
  apart = scaled[:, 1, 1] - known.mean(0)
  expected = np.sqrt((apart @ np.linalg.inv(covariance) * apart).sum(1))
  np.testing.assert_allclose(found[:, 1, 1, 0], expected, rtol=1e-3)


def padim_order(count):
  return np.random.default_rng(0).permutation(count)


def test_it_serves_a_network_on_any_grid(key):
  shape, options, _ = ROWS['ae']
  method = padim.make(components=3, bins=2)(
    named('methods', 'ae')(shape=shape, channels=1, **options)
  )
  batch, state = make_batch(shape), trained('ae')[3]
  _, stats = method.init(key, batch)
  loss = jax.jit(method.objectives['padim'].loss)
  _, (stats, _) = loss(state.params, stats | state.stats, batch, key, 0)
  novelty = np.asarray(
    jax.jit(method.infer)(state.params, stats, batch, key)['novelty']
  )
  assert novelty.shape == batch['mask'].shape and np.isfinite(novelty).all()
  assert novelty.max() > 0 and (novelty[np.asarray(batch['mask']) == 0] == 0).all()


@pytest.mark.parametrize(
  'name, of, sentence',
  [
    ('threshold', 'features', "padim: this method gives no 'features'"),
    ('ae', 'latent', "padim: the output 'latent' of this method has no grid"),
  ],
)
def test_outputs_without_a_grid_are_refused(name, of, sentence, key):
  shape, options, _ = ROWS[name]
  options = options | ({'bottleneck': 'dense'} if of == 'latent' else {})
  method = padim.make(of=of)(named('methods', name)(shape=shape, channels=1, **options))
  with pytest.raises(ValueError, match=sentence):
    method.init(key, make_batch(shape))


def test_sums_that_the_memory_does_not_hold_are_refused(key, monkeypatch):
  monkeypatch.setattr(memory, 'device_bytes', lambda: 2**10)
  shape, options, _ = ROWS['ae']
  method = padim.make(components=3)(
    named('methods', 'ae')(shape=shape, channels=1, **options)
  )
  with pytest.raises(ValueError, match='padim: components is 3; their sums at .* need'):
    method.init(key, make_batch(shape))
