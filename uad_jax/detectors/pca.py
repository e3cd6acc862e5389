"""Distance from a linear subspace (principal component analysis)."""

import jax.numpy as jnp
import numpy as np
from sklearn.decomposition import PCA

from uad_jax.detectors import Detector
from uad_jax.ops.limits import check_whole


def make(components: int = 5) -> Detector:
  """Builds a principal subspace, whose score is the distance |r - V V' r| from it.

  r is the difference of a vector from the mean and V holds the directions of largest
  variance (Shyu et al. 2003, "A novel anomaly detection scheme based on principal
  component classifier").

  Args:
    components: Number of directions.
  """
  check_whole('pca: components', components, 1)

  def shapes(n, d):
    if components > min(n, d):
      raise ValueError(
        f'pca: components is {components}; {n} vectors of length {d} allow at most '
        f'{min(n, d)}'
      )
    return {'mean': (d,), 'axes': (components, d)}

  def fit(vectors: np.ndarray):
    model = PCA(components, svd_solver='full').fit(vectors)
    return {'mean': np.float32(model.mean_), 'axes': np.float32(model.components_)}

  def score(fitted, x):
    r = x - fitted['mean'][None]
    beyond = r - r @ fitted['axes'].T @ fitted['axes']
    return jnp.sqrt((beyond**2).sum(-1))

  return Detector(shapes, fit, score)
