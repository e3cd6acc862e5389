"""Posterior of a velocity field: its divergence from smooth fields, and its draws."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from uad_jax.registration import velocity_posterior


def laplacian_matrix(shape):
  """Dense D - A of a voxel grid, from the definition by pairs of voxels."""
  places = np.stack(np.meshgrid(*map(np.arange, shape), indexing='ij'), -1)
  places = places.reshape(-1, len(shape))
  apart = np.abs(places[:, None] - places[None]).sum(-1)
  adjacent = (apart == 1).astype(float)
  return np.diag(adjacent.sum(1)) - adjacent


def kl_normals(mean, variance, precision):
  """KL(N(mean, diag(variance)) || N(0, precision^-1)) of vectors, by definition."""
  n = len(mean)
  return 0.5 * (
    np.trace(precision @ np.diag(variance))
    + mean @ precision @ mean
    - n
    - np.linalg.slogdet(precision)[1]
    - np.log(variance).sum()
  )


@pytest.mark.parametrize('shape', [(4, 3), (3, 2, 4)])
def test_the_divergence_is_that_of_dense_normals(shape):
  rng = np.random.default_rng(0)
  d, strength = len(shape), 7.0
  mean, log_variance = rng.normal(size=(2, 3, *shape, d)).astype('float32')
  found = velocity_posterior.kl_smooth(
    *map(jnp.asarray, (mean, log_variance)), strength
  )
  # The prior is improper: a little precision of the mean field makes it a normal, and
  # the divergences of two fields differ by the same in the limit.
  size = np.prod(shape)
  precision = strength * laplacian_matrix(shape) + 1e-7 * np.eye(size)
  dense = [
    sum(
      kl_normals(
        mean[b].reshape(size, d)[:, c],
        np.exp(log_variance[b].reshape(size, d)[:, c]),
        precision,
      )
      for c in range(d)
    )
    for b in range(3)
  ]
  np.testing.assert_allclose(np.diff(found), np.diff(dense), rtol=1e-4)


def test_without_data_the_variance_is_that_of_the_prior_given_the_neighbours():
  rest = jnp.zeros((1, 4, 4, 2))
  degree = np.diag(laplacian_matrix((4, 4))).reshape(1, 4, 4, 1)
  best = jnp.broadcast_to(-np.log(5.0 * degree), rest.shape)

  def kl(log_variance):
    return velocity_posterior.kl_smooth(rest, log_variance, 5.0).sum()

  np.testing.assert_allclose(jax.grad(kl)(best), 0, atol=1e-5)


def test_draws_have_mean_and_variance(key):
  mean = jnp.full((1, 64, 64, 2), 0.5)
  draws = velocity_posterior.sample(key, mean, jnp.full_like(mean, np.log(4.0)))
  assert abs(float(draws.mean()) - 0.5) < 0.1
  assert abs(float(draws.var()) - 4.0) < 0.2
