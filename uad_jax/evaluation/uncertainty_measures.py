"""Functions that measure how well predicted standard deviations describe errors.

Symbols: e_i errors and s_i predicted standard deviations of N voxels. A calibrated
deviation has the size of the error; a sharp one ranks the voxels by their error.

  ence            mean over bins of |RMV - RMSE| / RMV (Levi et al. 2022): 0 calibrated
  coverage_error  mean over levels p of |share of |e| <= z_p s - p|, z_p the quantile of
                  the normal: 0 for calibrated normal errors
  ause, aurg      areas of the sparsification curve (Ilg et al. 2018): 0 and large are
                  ideal
  rank            Spearman correlation of |e| and s: 1 ranks all voxels rightly
"""

from typing import NamedTuple

import numpy as np
from scipy import stats

LEVELS = np.arange(0.05, 1.0, 0.05)
"""Levels of the central intervals whose coverage is compared."""

BINS = 15
"""Bins with equal numbers of voxels, in which deviation and error are compared."""

STEPS = 50
"""Points of a sparsification curve."""


class Reliability(NamedTuple):
  """Predicted deviations and errors of voxels in bins of the predicted deviation.

  Attributes:
    count: Numbers of voxels [K].
    deviation: Root mean predicted variance (RMV) [K].
    error: Root mean squared error (RMSE) [K].
  """

  count: np.ndarray
  deviation: np.ndarray
  error: np.ndarray


def reliability(
  error: np.ndarray, deviation: np.ndarray, bins: int = BINS
) -> Reliability:
  """Compares errors and predicted deviations in bins of equal numbers of voxels.

  Args:
    error: e [N].
    deviation: s [N].
    bins: Number of bins; fewer if there are fewer voxels.

  Examples:
    >>> error, deviation = np.array([1.0, -1.0, 3.0, 3.0]), np.array([1.0, 1, 2, 2])
    >>> table = reliability(error, deviation, 2)
    >>> table.deviation.tolist(), table.error.tolist()
    ([1.0, 2.0], [1.0, 3.0])
  """
  order = np.argsort(deviation, kind='stable')
  parts = np.array_split(order, min(bins, len(order)))

  def root_mean_square(values):
    return np.array([np.sqrt(np.mean(np.square(values[part]))) for part in parts])

  return Reliability(
    np.array([len(part) for part in parts]),
    root_mean_square(np.asarray(deviation, np.float64)),
    root_mean_square(np.asarray(error, np.float64)),
  )


def ence(error: np.ndarray, deviation: np.ndarray, bins: int = BINS) -> float:
  """Computes the expected normalised calibration error; nan where a deviation is 0.

  Levi et al. 2022 ("Evaluating and calibrating uncertainty prediction in regression
  tasks"): the mean of |RMV - RMSE| / RMV over the bins of `reliability`.

  Args:
    error: e [N].
    deviation: s [N].
    bins: Number of bins.
  """
  table = reliability(error, deviation, bins)
  if not len(table.count) or table.deviation.min() <= 0:
    return np.nan
  return float(np.mean(np.abs(table.deviation - table.error) / table.deviation))


def coverage(error: np.ndarray, deviation: np.ndarray) -> np.ndarray:
  """Computes the share of errors within central intervals of a normal distribution.

  Args:
    error: e [N].
    deviation: s [N]; an error of 0 counts as covered.

  Returns:
    Shares [L] by level in `LEVELS`.
  """
  widths = stats.norm.ppf((1 + LEVELS) / 2)
  return np.array([np.mean(np.abs(error) <= width * deviation) for width in widths])


def coverage_error(error: np.ndarray, deviation: np.ndarray) -> float:
  """Computes the quantile calibration error, from the coverage of central intervals.

  The mean over `LEVELS` p of |coverage - p|, after Kuleshov et al. 2018, who take the
  squared differences of one-sided quantiles. Central intervals need no sign of the
  error, so that the error of several channels can be its norm.

  Args:
    error: e [N].
    deviation: s [N].
  """
  return float(np.mean(np.abs(coverage(error, deviation) - LEVELS)))


def sparsification(error: np.ndarray, by: np.ndarray, steps: int = STEPS) -> np.ndarray:
  """Computes the mean error that is left when the most uncertain voxels are removed.

  The curve is divided by the mean error of all voxels (Ilg et al. 2018). Voxels that
  tie count as if removed in random order.

  Args:
    error: e [N].
    by: Uncertainty [N] by which voxels are removed, the largest first.
    steps: Number of points of the curve.

  Returns:
    Relative mean absolute error [steps] when shares 0, 1 / steps, ... are removed.
  """
  size = np.abs(np.asarray(error, np.float64))
  _, index = np.unique(by, return_inverse=True)
  size = (np.bincount(index, size) / np.bincount(index))[index]  # ties share their mean
  kept = np.cumsum(size[np.argsort(by, kind='stable')])
  number = np.ceil(len(size) * (1 - np.arange(steps) / steps)).astype(int)
  mean = kept[number - 1] / number
  return mean / max(mean[0], 1e-12)


def ause(error: np.ndarray, deviation: np.ndarray) -> float:
  """Computes the area between the sparsification curve and that of the oracle.

  The oracle removes voxels by their error. 0 is ideal.

  Args:
    error: e [N].
    deviation: s [N].
  """
  oracle = sparsification(error, np.abs(error))
  return float(np.mean(sparsification(error, deviation) - oracle))


def aurg(error: np.ndarray, deviation: np.ndarray) -> float:
  """Computes the area between the curve of random removal and the sparsification curve.

  Poggi et al. 2020. Random removal leaves the mean error as it is. 0 is no better than
  random, below 0 worse.

  Args:
    error: e [N].
    deviation: s [N].
  """
  return float(np.mean(1 - sparsification(error, deviation)))


def rank(error: np.ndarray, deviation: np.ndarray) -> float:
  """Computes the Spearman rank correlation of |e| and s; nan where one is constant.

  Args:
    error: e [N].
    deviation: s [N].
  """
  size = np.abs(error)
  if len(size) < 2 or np.ptp(size) == 0 or np.ptp(deviation) == 0:
    return np.nan
  return float(stats.spearmanr(size, deviation).statistic)
