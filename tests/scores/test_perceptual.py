"""Distances of known features, and of those that trained encoders give."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from tests.long_variants import all_but
from tests.method_table import trained
from uad_jax.method import bind
from uad_jax.scores.perceptual import distance, make

SHAPE = (2, 4, 4, 5)
ENCODERS = (
  'ae', 'vae', 'cevae', 'gmvae', 'aae', 'cae', 'caae', 'fanogan', 'anovaegan', 'skip_ae'
)  # fmt: skip


def pair(key):
  a, b = jax.random.normal(key, (2, *SHAPE))
  return a, b


def test_the_distance_is_twice_one_minus_the_cosine(key):
  a, b = (np.asarray(x, np.float64) for x in pair(key))
  norms = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
  want = 2 * (1 - (a * b).sum(-1) / norms)  # oracle: numpy, the cosine
  found = distance(jnp.float32(a), jnp.float32(b))
  np.testing.assert_allclose(found[..., 0], want, rtol=1e-4, atol=1e-5)
  assert found.shape == (*SHAPE[:-1], 1)


def test_a_factor_on_all_maps_of_a_place_does_not_matter(key):
  a, b = pair(key)
  factor = 0.5 + jax.random.uniform(key, (*SHAPE[:-1], 1))
  np.testing.assert_allclose(
    distance(factor * a, b / factor), distance(a, b), rtol=1e-3, atol=1e-4
  )


def test_the_gradient_is_right_and_finite_where_the_maps_are_equal_or_zero(key):
  a, b = pair(key)
  check_grads(lambda a, b: distance(a, b).sum(), (a, b), 1, ['rev'], 1e-2, 1e-2, 1e-2)
  for other in (a, jnp.zeros_like(a)):
    slopes = jax.grad(lambda x, y: distance(x, y).sum(), (0, 1))(a, other)
    assert all(jnp.isfinite(slope).all() for slope in slopes)
  np.testing.assert_allclose(distance(a, a), 0.0, atol=1e-6)
  np.testing.assert_array_equal(distance(0 * a, 0 * a), 0.0)


def blocks(batch, key):
  """Two maps on half the grid: what is bright, and what is dark."""
  mean = batch['image'].reshape(1, 4, 2, 4, 2).mean((2, 4))[..., None]
  return {
    'features': jnp.concatenate([mean, 1 - mean], -1),
    'reconstruction': jnp.zeros_like(batch['image']),
  }


@pytest.mark.parametrize('residual', [False, True])
def test_the_map_lies_where_image_and_reconstruction_differ(residual, key):
  image = jnp.zeros((1, 8, 8, 1)).at[:, :2, :2].set(0.8)
  mask = jnp.ones_like(image).at[:, 0].set(0.0)
  found = make(residual=residual)(blocks, {'image': image, 'mask': mask}, key)
  assert found.shape == mask.shape and (found[:, 0] == 0).all()
  angle = 1 - 0.2 / np.hypot(0.8, 0.2)  # between (0.8, 0.2) and (0, 1)
  peak = 2 * angle * (0.8 if residual else 1.0)
  # The middle of the first block but for what interpolation takes.
  assert peak * 0.5 < found[0, 1, 0, 0] <= peak * 1.001
  np.testing.assert_allclose(found[:, 5:, 5:], 0.0, atol=1e-6)


@pytest.mark.parametrize('method', all_but(ENCODERS, ('vae', 'skip_ae')))
def test_of_a_perfect_reconstruction_there_is_nothing(method, key):
  """Features are the encoder's own: they change with the image, and only with it."""
  found, batch, _, state, _, _ = trained(method)
  infer = bind(found, state.params, state.stats)
  batch = {**batch, 'image': batch['image'] * batch['mask']}

  def perfect(asked, key):
    return {**infer(asked, key), 'reconstruction': batch['image']}

  same, real = jax.jit(
    lambda key: (make()(perfect, batch, key), make()(infer, batch, key))
  )(key)
  np.testing.assert_allclose(same, 0.0, atol=1e-6)
  assert real.max() > 1e-3
  features = jax.eval_shape(infer, batch, key)['features']
  assert features.shape == (4, 8, 8, 8)  # the first halving, the first width


def test_what_lacks_is_told(key):
  def only(batch, key):
    return {'reconstruction': batch['image']}

  batch = {'image': jnp.ones((1, 4, 4, 1)), 'mask': jnp.ones((1, 4, 4, 1))}
  sentence = "'perceptual' needs features; this method gives reconstruction"
  with pytest.raises(ValueError, match=sentence):
    make()(only, batch, key)
