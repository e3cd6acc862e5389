"""Mixtures with full covariances against scipy, and moments of batches."""

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from uad_jax.ops import full_covariance_mixture as mixture


def shared_vectors(key):
  """Vectors far from 0 [40, 3] and their shares of two components [40, 2]."""
  keys = jax.random.split(key)
  z = 100 + jax.random.normal(keys[0], (40, 3)) @ jnp.array(
    [[1.0, 0.5, 0.0], [0.0, 1.0, -0.3], [0.0, 0.0, 0.2]]
  )
  return z, jax.random.uniform(keys[1], (40, 2))


def test_the_energy_is_minus_the_log_density(key):
  z, shares = shared_vectors(key)
  energy = mixture.energy(z, mixture.moments(z, shares), 0.01)
  z, shares = np.float64(z), np.float64(shares)
  parts = []
  for share in shares.T:
    mean = np.average(z, axis=0, weights=share)
    covariance = np.cov(z.T, aweights=share, bias=True) + 0.01 * np.eye(3)
    part = multivariate_normal(mean, covariance).logpdf(z)
    parts.append(part + np.log(share.sum() / shares.sum()))
  np.testing.assert_allclose(energy, -logsumexp(parts, 0), rtol=2e-3)


def test_the_moments_of_batches_are_those_of_all(key):
  z, shares = shared_vectors(key)
  merged = mixture.empty(2, 3)
  for part in (slice(0, 15), slice(15, 16), slice(16, 40)):
    merged = mixture.merge(merged, mixture.moments(z[part], shares[part]))
  padding = mixture.moments(jnp.full((4, 3), 7.0), jnp.zeros((4, 2)))
  merged = mixture.merge(merged, padding)
  whole = mixture.moments(z, shares)
  for name in whole:
    np.testing.assert_allclose(merged[name], whole[name], rtol=1e-4, atol=1e-3)
