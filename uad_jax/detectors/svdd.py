"""Support vector data description: the smallest sphere around the healthy vectors."""

import numpy as np
from sklearn.metrics.pairwise import rbf_kernel

from uad_jax.detectors import Detector
from uad_jax.detectors.families import support_vectors


def make(nu: float = 0.1, gamma: float | None = None) -> Detector:
  """Builds the support vector data description of Tax and Duin 2004.

  The score is the squared distance |phi(x) - c|^2 from the centre c = sum_i a_i
  phi(x_i) of the smallest sphere that holds all but a share nu of the vectors, in the
  feature space of a Gaussian kernel. |c|^2 is computed once, by the fit.

  Args:
    nu: Largest share of the vectors outside of the sphere.
    gamma: Width of the kernel exp(-gamma |x - y|^2); None for 1 / (d var x).
  """
  support_vectors.check('svdd', nu, gamma)

  def shapes(n, d):
    return support_vectors.shapes(n, d) | {'inner': ()}

  def fit(vectors):
    fitted = support_vectors.fit(vectors, nu, gamma)
    support = fitted['weight'] > 0
    x, weight = (fitted[name][support] for name in ('vectors', 'weight'))
    inner = sum(
      a * (rbf_kernel(row[None], x, float(fitted['gamma']))[0] @ weight)
      for a, row in zip(weight, x, strict=True)
    )
    return fitted | {'inner': np.float32(inner)}

  def score(fitted, x):
    return 1 - 2 * support_vectors.similarity(fitted, x) + fitted['inner']

  return Detector(shapes, fit, score)
