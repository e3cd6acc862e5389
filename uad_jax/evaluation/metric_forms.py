"""Functions that create functions which compute a metric on bootstrap resamples.

The metrics are of four kinds: ranking of the pooled voxels, ratio of counts, mean over
scans, and AUROC of scans. Each function returns a `bootstrap.Metric`.
"""

from collections.abc import Mapping

import numpy as np

from uad_jax.evaluation import histogram
from uad_jax.evaluation.bootstrap import Metric


def ranked(name: str) -> Metric:
  """Returns a function that computes AUPRC, AUROC or oracle Dice on the pooled voxels.

  Args:
    name: 'auprc', 'auroc' or 'oracle_dice', a field of `histogram.Ranking`.
  """
  return lambda resampled: getattr(resampled.ranking, name)


def ratio(
  numerator: Mapping[str, float], denominator: Mapping[str, float], where: str = ''
) -> Metric:
  """Returns a metric function that computes a ratio of counts, such as the recall.

  The counts are first summed over the scans. The ratio is sum_i a_i C_i / sum_i b_i C_i
  with the summed counts C_i.

  Args:
    numerator: Factors a_i by name of a count in `Sample.counts`.
    denominator: Factors b_i by name of a count in `Sample.counts`.
    where: 'healthy' to sum over scans without lesions only, '' over all scans.
  """

  def metric(resampled):
    sample, drawn = resampled.sample, resampled.drawn
    if where == 'healthy':
      drawn = drawn * ~sample.diseased

    def total(factors):
      return sum(
        factor * (drawn @ sample.counts[name]) for name, factor in factors.items()
      )

    with np.errstate(invalid='ignore', divide='ignore'):
      return total(numerator) / total(denominator)

  return metric


def mean(name: str, where: str = '') -> Metric:
  """Returns a metric function that averages a value over scans, such as the Dice.

  Scans in which the value is not finite are left out.

  Args:
    name: Name of a value in `Sample.values`.
    where: 'healthy' or 'diseased' to average over scans without or with lesions only,
      '' over all scans.
  """

  def metric(resampled):
    sample = resampled.sample
    value = sample.values[name]
    known = np.isfinite(value)
    if where == 'healthy':
      known = known & ~sample.diseased
    elif where == 'diseased':
      known = known & sample.diseased
    with np.errstate(invalid='ignore', divide='ignore'):
      return (resampled.drawn @ np.where(known, value, 0)) / (resampled.drawn @ known)

  return metric


def separation(name: str) -> Metric:
  """Returns a function that computes the AUROC between scans with and without lesions.

  Scans are ranked by one anomaly score per scan.

  Args:
    name: Name of the score in `Sample.values`.
  """

  def metric(resampled):
    sample, drawn = resampled.sample, resampled.drawn
    scores, index = np.unique(sample.values[name], return_inverse=True)
    place = np.zeros((index.size, scores.size))
    place[np.arange(index.size), index] = 1
    return histogram.ranking(
      (drawn * ~sample.diseased) @ place, (drawn * sample.diseased) @ place
    ).auroc

  return metric
