"""Functions for log densities and KL divergences of normals and their mixtures.

All K components of a mixture have the same weight, 1 / K.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

Array = jax.Array


class Normal(NamedTuple):
  """Mean and log-variance of normal distributions with independent components.

  Attributes:
    mean: [..., Z].
    log_variance: [..., Z].
  """

  mean: Array
  log_variance: Array


def log_density(z: Array, normal: Normal) -> Array:
  """Computes the log density of vectors z under a normal with independent components.

  The sum over the last axis of -1/2 [(z - mean)^2 exp(-l) + l + log 2 pi], l being the
  log-variance.

  Args:
    z: [..., Z].
    normal: Normal of the same or broadcastable shape.

  Returns:
    [...].

  Examples:
    >>> standard = Normal(jnp.zeros(2), jnp.zeros(2))
    >>> round(float(log_density(jnp.zeros(2), standard)), 4)  # -log(2 pi)
    -1.8379
  """
  mean, log_variance = normal
  square = (z - mean) ** 2 * jnp.exp(-log_variance)
  return -0.5 * (square + log_variance + math.log(2 * math.pi)).sum(-1)


def cluster_posterior(z: Array, clusters: Normal) -> Array:
  """Computes the log probability of each mixture component (cluster) for a vector.

  The result is log p(c | z) for each cluster c and vector z, by Bayes' rule with a
  uniform prior over the clusters, each a normal distribution.

  Args:
    z: [..., Z].
    clusters: Normal of each cluster, [..., K, Z].

  Returns:
    [..., K].

  Examples:
    >>> clusters = Normal(jnp.array([[-1.0], [1.0]]), jnp.zeros((2, 1)))
    >>> log_posterior = cluster_posterior(jnp.array([0.0]), clusters)
    >>> [round(p, 4) for p in jnp.exp(log_posterior).tolist()]
    [0.5, 0.5]
  """
  return jax.nn.log_softmax(log_density(z[..., None, :], clusters))


def kl_between(q: Normal, p: Normal) -> Array:
  """Computes the KL divergence KL(q || p) of two normals, summed over the last axis.

  Args:
    q: Normal, [..., Z].
    p: Normal of the same or broadcastable shape.

  Returns:
    [...].

  Examples:
    >>> q, p = (Normal(jnp.full(2, mean), jnp.zeros(2)) for mean in (1.0, 0.0))
    >>> float(kl_between(q, p))  # half of the squared distance of the means
    1.0
  """
  shift = (q.mean - p.mean) ** 2
  ratio = (jnp.exp(q.log_variance) + shift) * jnp.exp(-p.log_variance)
  return 0.5 * (ratio + p.log_variance - q.log_variance - 1.0).sum(-1)


def kl_uniform(log_probability: Array) -> Array:
  """Computes the KL divergence of cluster probabilities from a uniform distribution.

  log K + sum_c q(c) log q(c), for K clusters c.

  Args:
    log_probability: log q(c) [..., K].

  Returns:
    [...], in [0, log K].

  Examples:
    >>> round(float(kl_uniform(jnp.log(jnp.full(4, 0.25)))), 4)
    0.0
  """
  entropy = -(jnp.exp(log_probability) * log_probability).sum(-1)
  return math.log(log_probability.shape[-1]) - entropy
