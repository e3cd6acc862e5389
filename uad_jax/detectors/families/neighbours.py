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


QUERIES, BLOCK = 1024, 8192
"""Vectors that are compared at once, and vectors of the set in one product: 32 MiB of
distances."""


def nearest(
  x: Array, bank: Array, k: int, queries: int = QUERIES, block: int = BLOCK
) -> tuple[Array, Array]:
  """Finds the k nearest vectors of a set, the nearest first.

  All distances are compared, one product of blocks at a time, so that the memory does
  not grow with the set: of each block the k nearest stay.

  Args:
    x: [m, d].
    bank: [n, d], n at least k.
    k: Number of neighbours.
    queries: Vectors that are compared at once.
    block: Vectors of the set in one product.

  Returns:
    Distances [m, k] and the neighbours' rows [m, k].
  """
  number, block = len(bank), max(k, min(block, len(bank)))
  blocks = -(-number // block)
  starts = jnp.minimum(jnp.arange(blocks) * block, number - block)

  def of_some(x: Array) -> tuple[Array, Array]:
    def step(kept, index):
      values, rows = kept
      start = starts[index]
      part = jax.lax.dynamic_slice_in_dim(bank, start, block)
      squares = squared_distances(x, part)
      # The last block begins earlier than the one before it ends.
      again = start + jnp.arange(block) < index * block
      squares = jnp.where(again[None], jnp.inf, squares)
      best, places = smallest(squares, k)
      values, order = smallest(jnp.concatenate([values, best], 1), k)
      rows = jnp.concatenate([rows, start + places], 1)
      return (values, jnp.take_along_axis(rows, order, 1)), None

    start = jnp.full((len(x), k), jnp.inf), jnp.zeros((len(x), k), jnp.int32)
    kept, _ = jax.lax.scan(step, start, jnp.arange(blocks))
    return kept

  x, queries = jnp.asarray(x), min(queries, len(x))
  groups = -(-len(x) // queries)
  padded = jnp.pad(x, ((0, groups * queries - len(x)), (0, 0)))
  kept = jax.lax.map(of_some, padded.reshape(groups, queries, -1))
  squares, rows = (part.reshape(groups * queries, k)[: len(x)] for part in kept)
  return jnp.sqrt(squares), rows


def smallest(values: Array, k: int) -> tuple[Array, Array]:
  """Finds the k smallest values of each row, ascending, and their places.

  Args:
    values: [m, n].
    k: Number of values.

  Returns:
    Values [m, k] and their columns [m, k].
  """
  if k == 1:
    return values.min(1, keepdims=True), values.argmin(1, keepdims=True)
  smallest, places = jax.lax.top_k(-values, k)
  return -smallest, places


def gaussian_kernel(x: Array, bank: Array, gamma: Array) -> Array:
  """Computes exp(-gamma |x - b|^2) of all pairs of vectors, [m, n]."""
  return jnp.exp(-gamma * squared_distances(x, bank))
