"""Nearest neighbours among a few cells of a large set of vectors (inverted file).

After Jegou et al. 2011 ("Product quantization for nearest neighbor search", section
IV): the set is split into cells, and a vector is compared with the cells alone whose
centres are nearest. Here the cells hold equal numbers, so that all shapes are fixed.
"""

import jax
import jax.numpy as jnp
import numpy as np

from uad_jax.detectors.families.neighbours import smallest, squared_distances

Array = jax.Array

TILE = 64
"""Vectors that one product compares with a cell."""

SAMPLE = 1024
"""Vectors from which the direction of a split is found."""

FAR = 1e15
"""Components of the vectors that fill a cell up: nearest to nothing, and their squares
are finite."""


def cell_shape(number: int) -> tuple[int, int]:
  """Returns the number of cells of a set, about its root, and the size of each.

  Args:
    number: Vectors in the set.

  Examples:
    >>> cell_shape(1_000_000)
    (1024, 977)
  """
  cells = 2 ** round(np.log2(number) / 2)
  return cells, -(-number // cells)


def split(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Splits vectors into cells of equal size, by halves along their widest direction.

  Args:
    vectors: [n, d].

  Returns:
    Cells [c, s, d], those with fewer vectors filled up by `FAR`, and the mean of the
    vectors in each [c, d]; c and s by `cell_shape`.
  """
  vectors = np.asarray(vectors, np.float32)
  number, size = cell_shape(len(vectors))
  parts = [np.arange(len(vectors))]
  while len(parts) < number:
    parts = [half for rows in parts for half in _halves(vectors, rows)]
  cells = np.full((number, size, vectors.shape[1]), FAR, np.float32)
  centres = np.empty((number, vectors.shape[1]), np.float32)
  for index, rows in enumerate(parts):
    cells[index, : len(rows)] = vectors[rows]
    centres[index] = cells[index, : len(rows)].mean(0)
  return cells, centres


def _halves(vectors: np.ndarray, rows: np.ndarray) -> list[np.ndarray]:
  """Splits rows at the median of their first principal component."""
  some = vectors[rows[:: -(-len(rows) // SAMPLE)]]
  _, directions = np.linalg.eigh(np.cov(some, rowvar=False).reshape(some.shape[1], -1))
  order = np.argpartition(vectors[rows] @ directions[:, -1], len(rows) // 2)
  return [rows[order[: len(rows) // 2]], rows[order[len(rows) // 2 :]]]


def nearest_in_cells(
  x: Array, cells: Array, centres: Array, k: int, probes: int
) -> Array:
  """Finds the distances to the k nearest vectors in the cells with the nearest centres.

  No distance is below that of `neighbours.nearest`, and with all cells they are equal.
  The pairs of a vector and a cell are sorted by cell, and each product compares `TILE`
  vectors with one cell; the memory grows with m * probes, not with the set.

  Args:
    x: [m, d].
    cells: From `split`, [c, s, d].
    centres: From `split`, [c, d].
    k: Number of neighbours, at most the number of vectors in so many cells.
    probes: Number of cells that are searched for a vector, 1 to c.

  Returns:
    Distances, the smallest first, [m, k].
  """
  x, cells, centres = map(jnp.asarray, (x, cells, centres))
  number, pairs = len(cells), len(x) * probes
  _, chosen = smallest(squared_distances(x, centres), probes)
  order = jnp.argsort(chosen.ravel())
  counts = jnp.bincount(chosen.ravel(), length=number)
  tiles = -(-counts // TILE)
  first = jnp.cumsum(tiles) - tiles  # tile at which a cell begins
  cell = chosen.ravel()[order]
  rank = jnp.arange(pairs) - (jnp.cumsum(counts) - counts)[cell]
  places = first[cell] * TILE + rank
  most = pairs // TILE + min(number, pairs)
  rows = jnp.zeros(most * TILE, jnp.int32).at[places].set(order // probes)
  cell_of = jnp.repeat(jnp.arange(number), tiles, total_repeat_length=most)
  kept = min(k, cells.shape[1])

  def compare(tile, squares):
    some = jax.lax.dynamic_slice_in_dim(rows, tile * TILE, TILE)
    best, _ = smallest(squared_distances(x[some], cells[cell_of[tile]]), kept)
    return jax.lax.dynamic_update_slice_in_dim(squares, best, tile * TILE, 0)

  squares = jnp.zeros((most * TILE, kept))
  squares = jax.lax.fori_loop(0, tiles.sum(), compare, squares)
  of_pairs = jnp.zeros((pairs, kept)).at[order].set(squares[places])
  best, _ = smallest(of_pairs.reshape(len(x), probes * kept), k)
  return jnp.sqrt(best)
