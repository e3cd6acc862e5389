"""Distance to the nearest healthy vectors."""

import numpy as np

from uad_jax.detectors import Detector
from uad_jax.detectors.families.cells import cell_shape, nearest_in_cells, split
from uad_jax.detectors.families.neighbours import nearest
from uad_jax.ops.coreset import k_centre
from uad_jax.ops.limits import check_whole


def make(k: int = 5, coreset: int = 0, probes: int = 0) -> Detector:
  """Builds a nearest-neighbour detector; its score is the mean distance to k vectors.

  Ramaswamy et al. 2000 ("Efficient algorithms for mining outliers from large data
  sets"), with the mean distance after Angiulli and Pizzuti 2002. With k = 1, a coreset
  and the features of a network it is the memory bank of PatchCore (Roth et al. 2022).

  Args:
    k: Number of neighbours.
    coreset: Number of vectors that stay, each the farthest from those before it
      (`ops.coreset.k_centre`); 0 keeps all.
    probes: Number of cells whose vectors are searched, of about sqrt(n) cells
      (`families.cells`); 0 searches all vectors.
  """
  check_whole('knn: k', k, 1)
  check_whole('knn: coreset', coreset, 0)
  check_whole('knn: probes', probes, 0)
  search = in_cells(k, probes) if probes else among_all(k)

  def shapes(n, d):
    kept = coreset or n
    check_whole('knn: coreset', kept, 1, n)
    return search.shapes(kept, d)

  def fit(vectors: np.ndarray):
    if coreset:
      chosen = k_centre(vectors, coreset, np.zeros((0, vectors.shape[1]))).chosen
      vectors = vectors[np.resize(chosen, coreset)]  # fewer where vectors are equal
    return search.fit(vectors)

  return Detector(shapes, fit, search.score)


def among_all(k: int) -> Detector:
  """Builds the detector that searches all vectors."""

  def shapes(n, d):
    check_whole('knn: k', k, 1, n)
    return {'vectors': (n, d)}

  def fit(vectors: np.ndarray):
    return {'vectors': np.float32(vectors)}

  def score(fitted, x):
    return nearest(x, fitted['vectors'], k)[0].mean(-1)

  return Detector(shapes, fit, score)


def in_cells(k: int, probes: int) -> Detector:
  """Builds the detector that searches the `probes` cells with the nearest centres."""

  def shapes(n, d):
    cells, size = cell_shape(n)
    check_whole('knn: probes', probes, 0, cells)
    check_whole('knn: k', k, 1, probes * (n // cells))
    return {'cells': (cells, size, d), 'centres': (cells, d)}

  def fit(vectors: np.ndarray):
    return dict(zip(('cells', 'centres'), split(vectors), strict=True))

  def score(fitted, x):
    cells, centres = fitted['cells'], fitted['centres']
    return nearest_in_cells(x, cells, centres, k, probes).mean(-1)

  return Detector(shapes, fit, score)
