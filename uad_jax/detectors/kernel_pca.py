"""Distance from a principal subspace in the feature space of a Gaussian kernel."""

import jax.numpy as jnp
import numpy as np
from sklearn.decomposition import KernelPCA

from uad_jax.detectors import Detector
from uad_jax.detectors.families.neighbours import gaussian_kernel
from uad_jax.ops.limits import check_number, check_whole

MOST = 5000
"""Largest number of vectors: all eigenvalues of their kernel's matrix are model."""


def make(components: int = 20, gamma: float | None = None) -> Detector:
  """Builds a principal subspace in feature space, whose score is the distance from it.

  Hoffmann 2007 ("Kernel PCA for novelty detection"): the squared distance of phi(x)
  from the mean minus the squares of its coordinates in the subspace.

  Args:
    components: Number of directions.
    gamma: Width of the kernel exp(-gamma |x - y|^2); None for 1 / (d var x).
  """
  check_whole('kernel_pca: components', components, 1)
  if gamma is not None:
    check_number('kernel_pca: gamma', gamma, 0, above=True)

  def shapes(n, d):
    check_number('kernel_pca: number of vectors', n, components, MOST)
    return {
      'vectors': (n, d),
      'axes': (n, components),
      'rows': (n,),
      'total': (),
      'gamma': (),
    }

  def fit(vectors: np.ndarray):
    width = 1 / (vectors.shape[1] * max(float(vectors.var()), 1e-12))
    width = width if gamma is None else gamma
    model = KernelPCA(components, kernel='rbf', gamma=width, eigen_solver='dense')
    model.fit(vectors)
    scales = np.sqrt(np.maximum(model.eigenvalues_, 1e-12))[None]
    values = {
      'vectors': vectors,
      'axes': model.eigenvectors_ / scales,
      'rows': model._centerer.K_fit_rows_,
      'total': model._centerer.K_fit_all_,
      'gamma': width,
    }
    return {name: np.asarray(value, np.float32) for name, value in values.items()}

  def score(fitted, x):
    kernel = gaussian_kernel(x, fitted['vectors'], fitted['gamma'])
    mean = kernel.mean(1)
    centred = kernel - mean[:, None] - fitted['rows'][None] + fitted['total']
    potential = 1 - 2 * mean + fitted['total']
    square = potential - ((centred @ fitted['axes']) ** 2).sum(-1)
    return jnp.sqrt(jnp.maximum(square, 0.0))

  return Detector(shapes, fit, score)
