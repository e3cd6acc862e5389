"""Mahalanobis distance from one normal distribution."""

import jax.numpy as jnp
import numpy as np
from sklearn.covariance import LedoitWolf

from uad_jax.detectors import Detector


def make() -> Detector:
  """Builds a normal distribution, whose score is the distance sqrt(r' S^-1 r).

  r is the difference of a vector from the mean and S the covariance, shrunk towards a
  multiple of the identity (Ledoit and Wolf 2004, "A well-conditioned estimator for
  large-dimensional covariance matrices").
  """

  def fit(vectors: np.ndarray):
    model = LedoitWolf().fit(vectors)
    return {
      'mean': np.float32(model.location_),
      'precision': np.float32(model.precision_),
    }

  def score(fitted, x):
    r = x - fitted['mean'][None]
    return jnp.sqrt(jnp.maximum((r @ fitted['precision'] * r).sum(-1), 0.0))

  return Detector(lambda n, d: {'mean': (d,), 'precision': (d, d)}, fit, score)
