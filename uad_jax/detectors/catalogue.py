"""All detectors by name."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from uad_jax.detectors import (
  Detector,
  gaussian,
  gmm,
  isolation_forest,
  kde,
  kernel_pca,
  knn,
  lof,
  one_class_svm,
  pca,
  svdd,
)
from uad_jax.ops.choices import check_choice, choose

DETECTORS: dict[str, Callable[..., Detector]] = {
  'gaussian': gaussian.make,
  'gmm': gmm.make,
  'isolation_forest': isolation_forest.make,
  'kde': kde.make,
  'kernel_pca': kernel_pca.make,
  'knn': knn.make,
  'lof': lof.make,
  'one_class_svm': one_class_svm.make,
  'pca': pca.make,
  'svdd': svdd.make,
}
"""Functions that build a detector, by its name."""


def build(name: str, options: Mapping[str, Any], where: str) -> Detector:
  """Builds a detector by its name.

  Args:
    name: Key of `DETECTORS`.
    options: Its options.
    where: Name of what asks, for error messages.

  Raises:
    ValueError: There is no such detector, or it has no such option.
  """
  make = choose('detector', name, DETECTORS, where)
  for option in options:
    check_choice('option', option, inspect.signature(make).parameters, name)
  return make(**options)
