"""Detectors: classic novelty detectors, fitted to feature vectors of healthy scans.

Each file holds one `make(**options) -> Detector`; the name of the file is the name of
the detector in a config. scikit-learn fits them on the host; their scores are computed
by jax from the arrays that the fit leaves. Review: Ruff et al. 2021 ("A unifying review
of deep and shallow anomaly detection").
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import numpy as np

Fitted = Mapping[str, np.ndarray]
"""Arrays that describe a fitted detector, by name; all are float32."""


class Detector(NamedTuple):
  """Novelty detector of feature vectors.

  Attributes:
    shapes: (number n of vectors, their length d) -> shape of each array of the fit;
      raises ValueError for numbers that the detector cannot hold.
    fit: Vectors of healthy scans [n, d] -> arrays of these shapes. It runs on the host.
    score: (arrays, vectors [m, d]) -> scores [m], high where a vector is unlike those
      of the fit.
  """

  shapes: Callable[[int, int], dict[str, tuple[int, ...]]]
  fit: Callable[[np.ndarray], Fitted]
  score: Callable[[Mapping[str, jax.Array], jax.Array], jax.Array]
