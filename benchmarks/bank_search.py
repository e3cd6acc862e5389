"""Speed of the nearest-neighbour search of a bank of features.

  python -m benchmarks.bank_search [--vectors=1000000] [--length=128] [--queries=1024]
  python -m benchmarks.bank_search --run=RUN_FOLDER_OF_PATCHCORE

It prints the queries a second of `detectors.families.neighbours.nearest`, of
scikit-learn's search by all distances and, where it is installed, of PyTorch by blocks
of the same size, on the same vectors, in turn; and those of the product of the same
matrices alone, below which no search of all distances can be: a query of 10^6 vectors
of 128 takes 2.6 10^8 operations. Then those of `cells.nearest_in_cells`, for 16 times
as many queries; how often it finds the nearest vector, and its mean distance in
relation to the smallest. Vectors are made, or features of a run: those of its training
scans are searched for those of its validation scans.
"""

import argparse
import importlib.util
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.neighbors import NearestNeighbors

from benchmarks import bank_vectors
from uad_jax.detectors.families.cells import nearest_in_cells, split
from uad_jax.detectors.families.neighbours import BLOCK, QUERIES, nearest

MANY = 16
"""Queries of the search in cells, as a multiple: a cell serves all that ask for it."""


def seconds(function) -> float:
  """Returns the wall time of one call."""
  started = time.perf_counter()
  function()
  return time.perf_counter() - started


def torch_search(x: np.ndarray, bank: np.ndarray) -> Callable[[], np.ndarray]:
  """Makes the same search in PyTorch: distances of all, block by block [N]."""
  import torch

  queries, vectors = torch.from_numpy(x), torch.from_numpy(bank)
  blocks = [(block, block.square().sum(1)) for block in vectors.split(BLOCK)]

  def search() -> np.ndarray:
    nearest = []
    for part in queries.split(QUERIES):
      size = part.square().sum(1, keepdim=True)
      best = torch.full((len(part),), torch.inf)
      for block, squares in blocks:
        square = size + squares - 2 * part @ block.T
        best = torch.minimum(best, square.min(1).values)
      nearest.append(best.clamp(min=0).sqrt())
    return torch.cat(nearest).numpy()

  return search


def search_in_cells(
  x: np.ndarray, bank: np.ndarray, smallest: np.ndarray, probes: list[int], rounds: int
) -> None:
  """Measures the search in cells, the best of some rounds, and prints.

  Args:
    x: Queries.
    bank: Vectors.
    smallest: Distances of the first queries to the nearest of all vectors.
    probes: Numbers of cells that are searched.
    rounds: Number of rounds.
  """
  started = time.perf_counter()
  placed = jax.block_until_ready([jnp.asarray(part) for part in (x, *split(bank))])
  print(f'{len(placed[-1])} cells in {time.perf_counter() - started:.0f} s')
  search = jax.jit(nearest_in_cells, static_argnums=(3, 4))
  for number in probes:
    reached = np.asarray(search(*placed, 1, number))[: len(smallest), 0]  # compiles
    best = min(
      seconds(lambda n=number: search(*placed, 1, n).block_until_ready())
      for _ in range(rounds)
    )
    equal = (reached <= smallest * (1 + 1e-4) + 1e-4).mean()
    print(
      f'in {number} cells: {len(x) / best:.0f} queries a second, nearest vector in '
      f'{equal:.1%}, distance {reached.sum() / smallest.sum():.4f} of the smallest'
    )


def main() -> None:
  """Measures and prints."""
  parser = argparse.ArgumentParser(prog='python -m benchmarks.bank_search')
  parser.add_argument('--vectors', type=int, default=1_000_000)
  parser.add_argument('--length', type=int, default=128)
  parser.add_argument('--queries', type=int, default=1024)
  parser.add_argument('--rounds', type=int, default=3)
  parser.add_argument('--run', default='')
  parser.add_argument('--probes', default='4,8,16,32')
  options = parser.parse_args()
  sizes = options.vectors, MANY * options.queries
  if options.run:
    bank, many = (
      bank_vectors.of_run(options.run, *part)
      for part in zip(('train', 'val'), sizes, strict=True)
    )
    print(f'{len(bank)} vectors of {bank.shape[1]}, {len(many)} queries')
  else:
    bank, many = (bank_vectors.made(n, options.length, i) for i, n in enumerate(sizes))
  x = many[: len(many) // MANY]
  search = jax.jit(lambda x, bank: nearest(x, bank, 1)[0])
  product = jax.jit(lambda x, bank: (x @ bank.T).sum(1))
  theirs = NearestNeighbors(n_neighbors=1, algorithm='brute').fit(bank)
  placed = jax.block_until_ready((jnp.asarray(x), jnp.asarray(bank)))
  memory = search.lower(*placed).compile().memory_analysis().temp_size_in_bytes
  expected = np.asarray(search(*placed))[:, 0]
  others = theirs.kneighbors(x[:64])[0][:, 0]
  np.testing.assert_allclose(expected[:64], others, atol=1e-2)
  ways = {
    'nearest': lambda: search(*placed).block_until_ready(),
    'scikit-learn': lambda: theirs.kneighbors(x),
    'product alone': lambda: [
      product(placed[0][i : i + 128], placed[1]).block_until_ready()
      for i in range(0, len(x), 128)
    ],
  }
  if importlib.util.find_spec('torch') is not None:
    ways['PyTorch'] = torch_search(x, bank)
    np.testing.assert_allclose(ways['PyTorch'](), expected, atol=1e-2)
  times: dict[str, list[float]] = {name: [] for name in ways}
  for _ in range(options.rounds + 1):  # the first compiles
    for name, function in ways.items():
      times[name].append(seconds(function))
  for name, values in times.items():
    best = min(values[1:])
    operations = 2 * bank.size * len(x)
    print(
      f'{name}: {len(x) / best:.0f} queries a second, '
      f'{operations / best / 1e9:.0f} GFLOP/s'
    )
  print(f'memory of the search beside the vectors: {memory / 2**20:.0f} MiB')
  probes = [int(number) for number in options.probes.split(',')]
  search_in_cells(many, bank, expected, probes, options.rounds)


if __name__ == '__main__':
  main()
