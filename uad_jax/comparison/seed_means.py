"""Functions that average estimates of a metric over trainings with several seeds."""

from collections.abc import Sequence

import numpy as np

from uad_jax.report.tables import Estimate


def mean(pairs: Sequence[tuple[float | None, int]]) -> float | None:
  """Computes the weighted mean of all values that are not None.

  Args:
    pairs: Values and their weights (numbers of seeds). The mean of no value is None.
  """
  known = [(value, times) for value, times in pairs if value is not None]
  if not known:
    return None
  values, weights = zip(*known, strict=True)
  return float(np.average(values, weights=weights))


def averaged(weighted: Sequence[tuple[Estimate, int]]) -> Estimate:
  """Computes the weighted means of metric values and of their interval bounds."""
  low, high = (mean([(e['interval'][end], n) for e, n in weighted]) for end in (0, 1))
  value = mean([(e['value'], n) for e, n in weighted])
  return {'value': value, 'interval': [low, high]}
