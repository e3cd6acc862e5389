"""Support vector data description: the smallest sphere around the healthy vectors."""

from functools import partial

from uad_jax.detectors import Detector
from uad_jax.detectors.families import support_vectors


def make(nu: float = 0.1, gamma: float | None = None) -> Detector:
  """Builds the support vector data description of Tax and Duin 2004.

  The score is the squared distance |phi(x) - c|^2 from the centre c = sum_i a_i
  phi(x_i) of the smallest sphere that holds all but a share nu of the vectors, in the
  feature space of a Gaussian kernel.

  Args:
    nu: Largest share of the vectors outside of the sphere.
    gamma: Width of the kernel exp(-gamma |x - y|^2); None for 1 / (d var x).
  """
  support_vectors.check('svdd', nu, gamma)

  def score(fitted, x):
    inner = support_vectors.similarity(fitted, fitted['vectors']) @ fitted['weight']
    return 1 - 2 * support_vectors.similarity(fitted, x) + inner

  fit = partial(support_vectors.fit, nu=nu, gamma=gamma)
  return Detector(support_vectors.shapes, fit, score)
