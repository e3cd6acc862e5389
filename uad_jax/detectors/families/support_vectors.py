"""Support vectors of one class, with a Gaussian kernel.

With this kernel, k(x, x) = 1, the one-class support vector machine (Schölkopf et al.
2001) and the support vector data description (Tax and Duin 2004) have the same
solution: weights a_i of the healthy vectors, 0 <= a_i <= 1 / (nu n), of sum 1.
"""

import jax
import numpy as np
from sklearn.svm import OneClassSVM

from uad_jax.detectors import Fitted
from uad_jax.detectors.families.neighbours import gaussian_kernel
from uad_jax.ops.limits import check_number

MOST = 20_000
"""Largest number of vectors; the fit takes time with their square."""

NAMES = ('vectors', 'weight', 'gamma', 'offset')


def check(where: str, nu: float, gamma: float | None) -> None:
  """Raises ValueError if an option is outside of its range."""
  check_number(f'{where}: nu', nu, 0, 1, above=True)
  if gamma is not None:
    check_number(f'{where}: gamma', gamma, 0, above=True)


def shapes(n: int, d: int) -> dict[str, tuple[int, ...]]:
  """Returns the shapes of the arrays of `fit`, for at most `MOST` vectors."""
  check_number('support vectors: number of vectors', n, 1, MOST)
  return dict(zip(NAMES, ((n, d), (n,), (), ()), strict=True))


def fit(vectors: np.ndarray, nu: float, gamma: float | None) -> Fitted:
  """Fits the weights of the vectors.

  Args:
    vectors: [n, d].
    nu: Largest share of the vectors outside of the boundary.
    gamma: Width of the kernel exp(-gamma |x - y|^2); None for 1 / (d var x).

  Returns:
    'vectors' [n, d], their 'weight' [n] of sum 1, 'gamma', and 'offset', the value of
    sum_i a_i k(x_i, x) on the boundary.
  """
  if gamma is None:
    gamma = 1 / (vectors.shape[1] * max(float(vectors.var()), 1e-12))
  machine = OneClassSVM(nu=nu, gamma=gamma, tol=1e-6).fit(vectors)
  weight = np.zeros(len(vectors))
  weight[machine.support_] = machine.dual_coef_[0]
  values = vectors, weight / weight.sum(), gamma, machine.offset_[0] / weight.sum()
  return {
    name: np.asarray(value, np.float32)
    for name, value in zip(NAMES, values, strict=True)
  }


def similarity(fitted: Fitted, x: jax.Array) -> jax.Array:
  """Computes sum_i a_i k(x_i, x), [m]."""
  kernel = gaussian_kernel(x, fitted['vectors'], fitted['gamma'])
  return kernel @ fitted['weight']
