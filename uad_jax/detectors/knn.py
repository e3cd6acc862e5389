"""Distance to the nearest healthy vectors."""

import numpy as np

from uad_jax.detectors import Detector
from uad_jax.detectors.families.neighbours import nearest
from uad_jax.ops.limits import check_number, check_whole


def make(k: int = 5) -> Detector:
  """Builds a nearest-neighbour detector; its score is the mean distance to k vectors.

  Ramaswamy et al. 2000 ("Efficient algorithms for mining outliers from large data
  sets"), with the mean distance after Angiulli and Pizzuti 2002.

  Args:
    k: Number of neighbours.
  """
  check_whole('knn: k', k, 1)

  def shapes(n, d):
    check_number('knn: k', k, 1, n)
    return {'vectors': (n, d)}

  def fit(vectors: np.ndarray):
    return {'vectors': np.float32(vectors)}

  def score(fitted, x):
    return nearest(x, fitted['vectors'], k)[0].mean(-1)

  return Detector(shapes, fit, score)
