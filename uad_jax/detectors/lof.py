"""Local outlier factor: density of a vector against that of its neighbours."""

import jax.numpy as jnp
import numpy as np
from sklearn.neighbors import LocalOutlierFactor

from uad_jax.detectors import Detector
from uad_jax.detectors.families.neighbours import nearest
from uad_jax.ops.limits import check_number, check_whole


def make(k: int = 20) -> Detector:
  """Builds the local outlier factor of Breunig et al. 2000 (LOF).

  The score is the mean, over the k nearest healthy vectors, of their local density over
  that of the vector; about 1 where both are alike.

  Args:
    k: Number of neighbours.
  """
  check_whole('lof: k', k, 1)

  def shapes(n, d):
    check_number('lof: k', k, 1, n - 1)
    return {'vectors': (n, d), 'reach': (n,), 'density': (n,)}

  def fit(vectors: np.ndarray):
    model = LocalOutlierFactor(k, novelty=True).fit(np.float64(vectors))
    return {
      'vectors': np.float32(vectors),
      'reach': np.float32(model._distances_fit_X_[:, k - 1]),
      'density': np.float32(model._lrd),
    }

  def score(fitted, x):
    distances, rows = nearest(x, fitted['vectors'], k)
    reached = jnp.maximum(distances, fitted['reach'][rows]).mean(-1)
    return fitted['density'][rows].mean(-1) * (reached + 1e-10)

  return Detector(shapes, fit, score)
