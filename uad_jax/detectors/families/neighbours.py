"""Distances between feature vectors, and nearest neighbours in a set of them."""

import jax
import jax.numpy as jnp

Array = jax.Array


def squared_distances(x: Array, bank: Array) -> Array:
  """Computes the squared distances of all pairs of vectors, [m, n].

  Args:
    x: [m, d].
    bank: [n, d].

  Examples:
    >>> squared_distances(jnp.array([[0.0, 3.0]]), jnp.array([[4.0, 0.0], [0.0, 3.0]]))
    Array([[25.,  0.]], dtype=float32)
  """
  squares = [(v**2).sum(-1) for v in (x, bank)]
  distances = squares[0][:, None] + squares[1][None] - 2 * x @ bank.T
  return jnp.maximum(distances, 0.0)


def nearest(x: Array, bank: Array, k: int) -> tuple[Array, Array]:
  """Finds the k nearest vectors of a set, the nearest first.

  Args:
    x: [m, d].
    bank: [n, d], n at least k.
    k: Number of neighbours.

  Returns:
    Distances [m, k] and the neighbours' rows [m, k].
  """
  value, rows = jax.lax.top_k(-squared_distances(x, bank), k)
  return jnp.sqrt(jnp.maximum(-value, 0.0)), rows


def gaussian_kernel(x: Array, bank: Array, gamma: Array) -> Array:
  """Computes exp(-gamma |x - b|^2) of all pairs of vectors, [m, n]."""
  return jnp.exp(-gamma * squared_distances(x, bank))
