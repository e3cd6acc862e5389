"""One-class support vector machine."""

from functools import partial

from uad_jax.detectors import Detector
from uad_jax.detectors.families import support_vectors


def make(nu: float = 0.1, gamma: float | None = None) -> Detector:
  """Builds the one-class support vector machine of Schölkopf et al. 2001.

  The score is rho - sum_i a_i k(x_i, x), the distance beyond the boundary that holds
  all but a share nu of the vectors, with weights a of sum 1 and a Gaussian kernel.

  Args:
    nu: Largest share of the vectors outside of the boundary.
    gamma: Width of the kernel exp(-gamma |x - y|^2); None for 1 / (d var x).
  """
  support_vectors.check('one_class_svm', nu, gamma)

  def score(fitted, x):
    return fitted['offset'] - support_vectors.similarity(fitted, x)

  fit = partial(support_vectors.fit, nu=nu, gamma=gamma)
  return Detector(support_vectors.shapes, fit, score)
