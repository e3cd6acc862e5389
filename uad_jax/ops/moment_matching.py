"""Distances between the first and second moments of two sets of vectors."""

import jax
import jax.numpy as jnp

Array = jax.Array


def moments(z: Array, weight: Array) -> tuple[Array, Array]:
  """Computes mean and unbiased covariance of weighted vectors.

  m = sum w z / sum w and C = sum w (z - m) (z - m)' / (sum w - 1); the covariance of a
  single vector is 0.

  Args:
    z: Vectors [B, Z].
    weight: [B], 0 for padding and 1 else.

  Returns:
    Mean [Z] and covariance [Z, Z].
  """
  shares = weight[:, None]
  mean = (z * shares).sum(0) / jnp.maximum(weight.sum(), 1e-6)
  centred = (z - mean[None]) * shares
  return mean, centred.T @ (z - mean[None]) / jnp.maximum(weight.sum() - 1, 1.0)


def coral(covariance_a: Array, covariance_b: Array) -> Array:
  """Computes the CORAL loss, the distance between two covariances.

  Sun and Saenko, "Deep CORAL: correlation alignment for deep domain adaptation", ECCV
  workshops 2016, equation 1: |C_a - C_b|_F^2 / (4 Z^2), a scalar.

  Args:
    covariance_a: [Z, Z].
    covariance_b: [Z, Z].

  Examples:
    >>> float(coral(jnp.eye(2), jnp.zeros((2, 2))))
    0.125
  """
  return ((covariance_a - covariance_b) ** 2).sum() / (4 * len(covariance_a) ** 2)


def mean_distance(mean_a: Array, mean_b: Array) -> Array:
  """Computes the mean squared difference of two mean vectors, |m_a - m_b|^2 / Z.

  Args:
    mean_a: [Z].
    mean_b: [Z].

  Examples:
    >>> float(mean_distance(jnp.array([1.0, 2.0]), jnp.array([1.0, 4.0])))
    2.0
  """
  return ((mean_a - mean_b) ** 2).mean()
