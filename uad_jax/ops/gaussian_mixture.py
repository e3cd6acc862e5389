"""Densities and divergences of normals and of mixtures of them with equal weights."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

Array = jax.Array


class Normal(NamedTuple):
  """Means and log-variances of independent normals."""

  mean: Array
  log_variance: Array


def log_density(z: Array, normal: Normal) -> Array:
  """log N(z; mean, variance), summed over the last axis.

  With log precision p: 1/2 p - 1/2 log 2 pi - 1/2 exp(p) (z - mean)^2, elementwise.
  """
  mean, log_variance = normal
  square = (z - mean) ** 2 * jnp.exp(-log_variance)
  return -0.5 * (square + log_variance + math.log(2 * math.pi)).sum(-1)


def cluster_posterior(z: Array, clusters: Normal) -> Array:
  """log p(c | z, w) by Bayes' rule with a uniform prior; [..., Z] to [..., K]."""
  return jax.nn.log_softmax(log_density(z[..., None, :], clusters))


def kl_between(q: Normal, p: Normal) -> Array:
  """KL(q || p) of normals, summed over the last axis."""
  shift = (q.mean - p.mean) ** 2
  ratio = (jnp.exp(q.log_variance) + shift) * jnp.exp(-p.log_variance)
  return 0.5 * (ratio + p.log_variance - q.log_variance - 1.0).sum(-1)


def kl_uniform(log_probability: Array) -> Array:
  """KL(q(c) || uniform) = log K + sum_c q log q, over the last axis."""
  entropy = -(jnp.exp(log_probability) * log_probability).sum(-1)
  return math.log(log_probability.shape[-1]) - entropy
