"""Kernel density of the healthy vectors."""

import jax
import jax.numpy as jnp
import numpy as np

from uad_jax.detectors import Detector
from uad_jax.detectors.families.neighbours import squared_distances
from uad_jax.ops.limits import check_number


def make(bandwidth: float | None = None) -> Detector:
  """Builds a Gaussian kernel density, whose score is -log p(x), in nats.

  Parzen 1962 ("On estimation of a probability density function and mode").

  Args:
    bandwidth: Standard deviation of the kernel; None for Scott's n^(-1 / (d + 4)) times
      the mean standard deviation of the components.
  """
  if bandwidth is not None:
    check_number('kde: bandwidth', bandwidth, 0, above=True)

  def fit(vectors: np.ndarray):
    n, d = vectors.shape
    scott = n ** (-1 / (d + 4)) * max(float(vectors.std(0).mean()), 1e-6)
    width = scott if bandwidth is None else bandwidth
    return {'vectors': np.float32(vectors), 'bandwidth': np.float32(width)}

  def score(fitted, x):
    bank, width = fitted['vectors'], fitted['bandwidth']
    exponents = -squared_distances(x, bank) / (2 * width**2)
    n, d = bank.shape
    scale = jnp.log(n) + d * jnp.log(width) + 0.5 * d * jnp.log(2 * jnp.pi)
    return scale - jax.nn.logsumexp(exponents, axis=-1)

  return Detector(lambda n, d: {'vectors': (n, d), 'bandwidth': ()}, fit, score)
