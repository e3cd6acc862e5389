"""Density of a mixture of normal distributions."""

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.mixture import GaussianMixture

from uad_jax.detectors import Detector
from uad_jax.ops.limits import check_number, check_whole


def make(components: int = 8, floor: float = 1e-4, seed: int = 0) -> Detector:
  """Builds a mixture of normal distributions, whose score is -log p(x), in nats.

  Args:
    components: Number of distributions, each with a full covariance.
    floor: Added to the diagonals of the covariances.
    seed: Seed of the first means.
  """
  check_whole('gmm: components', components, 1)
  check_number('gmm: floor', floor, 0)

  def shapes(n, d):
    k = components
    return {'log_weight': (k,), 'mean': (k, d), 'root': (k, d, d)}

  def fit(vectors: np.ndarray):
    model = GaussianMixture(components, reg_covar=floor, random_state=seed)
    model.fit(np.float64(vectors))
    return {
      'log_weight': np.float32(np.log(model.weights_)),
      'mean': np.float32(model.means_),
      'root': np.float32(model.precisions_cholesky_),
    }

  def score(fitted, x):
    root, mean = fitted['root'], fitted['mean']
    # (x - m)' P (x - m) = |(x - m)' R|^2 with P = R R'.
    apart = x[:, None] - mean[None]
    z = jnp.einsum('mkd,kde->mke', apart, root)
    log_det = jnp.log(jnp.diagonal(root, axis1=1, axis2=2)).sum(-1)
    log_p = log_det[None] - 0.5 * (x.shape[-1] * jnp.log(2 * jnp.pi) + (z**2).sum(-1))
    return -jax.nn.logsumexp(log_p + fitted['log_weight'][None], axis=-1)

  return Detector(shapes, fit, score)
