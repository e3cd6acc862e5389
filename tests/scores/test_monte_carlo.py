"""Moments of inferences whose distribution is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from uad_jax.scores.monte_carlo import make
from uad_jax.uncertainty import estimators

SHAPE = (2, 6, 6, 2)
FACTOR = np.array([[0.3, 0.0], [0.2, 0.1]], 'float32')


def batch_of(key):
  mask = jnp.zeros((2, 6, 6, 1)).at[:, 1:-1, 1:-1].set(1.0)
  return {'image': jax.random.uniform(key, SHAPE), 'mask': mask}


def infer(batch, key):
  """x / 2 + N(0, L L') over the channels."""
  noise = jax.random.normal(key, SHAPE) @ FACTOR.T
  return {'reconstruction': 0.5 * batch['image'] + noise}


def test_moments_are_those_of_numpy(key):
  batch = batch_of(key)
  mean, covariance = estimators.draws(samples=7).moments(infer, batch, key)
  drawn = np.stack(
    [infer(batch, k)['reconstruction'] for k in jax.random.split(key, 7)]
  )
  np.testing.assert_allclose(mean, drawn.mean(0), atol=1e-6)
  for where in ((0, 2, 3), (1, 5, 0)):  # oracle: numpy.cov, voxel by voxel
    want = np.cov(drawn[(slice(None), *where)].T)
    np.testing.assert_allclose(covariance[where], want, atol=1e-6)


def test_mahalanobis_of_many_samples_is_that_of_the_distribution(key):
  batch = batch_of(key)
  found = make(samples=2000, floor=0.0)(infer, batch, key)
  precision = np.linalg.inv(FACTOR @ FACTOR.T)
  residual = np.asarray(batch['image']) / 2
  want = np.sqrt(np.einsum('...i,ij,...j->...', residual, precision, residual))
  want = want[..., None] * batch['mask']
  np.testing.assert_allclose(found, want, rtol=0.1, atol=0.15)


def test_the_kinds_of_one_contrast(key):
  batch = batch_of(key)
  batch['image'] = batch['image'][..., :1]

  def one(batch, key):
    shape = batch['image'].shape
    return {'reconstruction': 0.4 + 0.2 * jax.random.normal(key, shape)}

  mean, variance = (
    v[..., :1] for v in estimators.draws(samples=9).moments(one, batch, key)
  )
  variance, residual = variance[..., 0], jnp.abs(batch['image'] - mean)
  want = {
    'mean': residual,
    'variance': variance,
    'mahalanobis': residual / jnp.sqrt(variance + 0.01),
  }
  signed = make('mean', samples=9, sign='dark')(one, batch, key)
  np.testing.assert_allclose(signed, (mean - batch['image']) * batch['mask'], atol=1e-6)
  for kind, value in want.items():
    floor = {'floor': 0.1} if kind == 'mahalanobis' else {}
    found = make(kind, samples=9, **floor)(one, batch, key)
    np.testing.assert_allclose(found, value * batch['mask'], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('kind', ['mean', 'variance'])
def test_what_has_no_floor_refuses_one(kind):
  with pytest.raises(ValueError, match=f"kind '{kind}' has no floor, 0.1 was given"):
    make(kind, floor=0.1)


def test_the_full_covariance_is_that_of_all_values(key):
  batch = batch_of(key)
  batch['mask'] = jnp.ones_like(batch['mask'])
  found = make('mahalanobis_full', samples=5, floor=0.1)(infer, batch, key)
  drawn = np.stack(
    [infer(batch, k)['reconstruction'] for k in jax.random.split(key, 5)]
  ).astype('float64')
  residual = np.asarray(batch['image'], 'float64') - drawn.mean(0)
  for index, r in enumerate(residual):  # oracle: numpy, the covariance in full
    covariance = np.cov(drawn[:, index].reshape(5, -1).T) + 0.01 * np.eye(r.size)
    value = r.ravel() * np.linalg.solve(covariance, r.ravel())
    value = value.reshape(r.shape).sum(-1, keepdims=True)
    want = np.sqrt(np.maximum(value, 0))
    np.testing.assert_allclose(found[index], want, rtol=1e-2, atol=2e-2)


def test_of_a_deterministic_method_it_is_the_residual_over_the_floor(key):
  batch = batch_of(key)

  def same(batch, key):
    return {'reconstruction': 0.5 * batch['image']}

  assert make('variance', samples=3)(same, batch, key).max() == 0
  found = make(samples=3, floor=0.1)(same, batch, key)
  want = jnp.sqrt((batch['image'] ** 2).sum(-1, keepdims=True)) / 0.2 * batch['mask']
  np.testing.assert_allclose(found, want, rtol=1e-4)
  full = make('mahalanobis_full', samples=3, floor=0.1)(same, batch, key)
  np.testing.assert_allclose(full, want, rtol=1e-4)


@pytest.mark.parametrize(
  'options, sentence',
  [
    (dict(kind='mode'), "monte_carlo: unknown kind 'mode'; there are mean, variance"),
    (dict(sign='up'), "monte_carlo: unknown sign 'up'; there are absolute"),
    (dict(samples=1), 'samples is 1; allowed is a whole number of 2 or more'),
  ],
)
def test_what_cannot_be_is_told(options, sentence):
  with pytest.raises(ValueError, match=sentence):
    make(**options)
