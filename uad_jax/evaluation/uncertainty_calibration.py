"""Calibrations of predicted standard deviations, fitted on healthy validation scans.

Each fit takes errors e, predicted deviations s and groups of N voxels, and returns a
function (s, groups) -> calibrated deviations. Groups are tissue classes or other
numbers; only 'group' reads them.
"""

from collections.abc import Callable

import numpy as np
from scipy import stats
from sklearn.isotonic import IsotonicRegression

Calibrated = Callable[[np.ndarray, np.ndarray], np.ndarray]

SMALLEST = 1e-6
"""Predicted deviations below this count as this."""

LEVEL = 0.9
"""Share of the errors that the interval of the conformal calibration holds."""


def scale(error: np.ndarray, deviation: np.ndarray, group: np.ndarray) -> Calibrated:
  """Fits one factor of all deviations: the root of the mean of e^2 / s^2.

  It is the maximum likelihood estimate for normal errors (sigma scaling, Laves et al.
  2020, equation 8).
  """
  factor = _factor(error, deviation)
  return lambda deviation, group: factor * deviation


def by_group(error: np.ndarray, deviation: np.ndarray, group: np.ndarray) -> Calibrated:
  """Fits the factor of `scale` for each group; other groups get that of all voxels."""
  common = _factor(error, deviation)
  factors = {
    int(g): _factor(error[group == g], deviation[group == g]) for g in np.unique(group)
  }

  def calibrated(deviation, group):
    numbers, index = np.unique(group, return_inverse=True)
    of_number = np.array([factors.get(int(g), common) for g in numbers])
    return of_number[index] * deviation

  return calibrated


def isotonic(error: np.ndarray, deviation: np.ndarray, group: np.ndarray) -> Calibrated:
  """Fits the mean squared error as a rising function of the predicted deviation.

  By isotonic regression of e^2 on s (scikit-learn), so that the order of the voxels
  stays and ties may arise. Beyond the deviations of the fit the function is constant.
  """
  rising = IsotonicRegression(out_of_bounds='clip', y_min=SMALLEST**2)
  rising.fit(np.asarray(deviation, np.float64), np.square(error, dtype=np.float64))
  return lambda deviation, group: np.sqrt(
    rising.predict(np.asarray(deviation, np.float64))
  )


def conformal(
  error: np.ndarray, deviation: np.ndarray, group: np.ndarray
) -> Calibrated:
  """Fits the factor with which normal intervals of the level `LEVEL` hold that share.

  Split conformal prediction with the score |e| / s (Lei et al. 2018, section 5.2): the
  quantile q at ceil((n + 1) LEVEL) / n of the scores, divided by the normal quantile,
  multiplies s. Coverage is guaranteed for exchangeable voxels; those of one brain are
  not, so that it holds on average over scans.
  """
  scores = np.abs(error) / np.maximum(deviation, SMALLEST)
  share = min(np.ceil((len(scores) + 1) * LEVEL) / len(scores), 1.0)
  quantile = np.quantile(scores, share, method='inverted_cdf')
  factor = quantile / stats.norm.ppf((1 + LEVEL) / 2)
  return lambda deviation, group: factor * deviation


def _factor(error: np.ndarray, deviation: np.ndarray) -> float:
  """Root mean square of the standardised errors."""
  standardised = np.float64(error) / np.maximum(np.float64(deviation), SMALLEST)
  return float(np.sqrt(np.mean(standardised**2)))


FITS = {
  'scale': scale,
  'group': by_group,
  'isotonic': isotonic,
  'conformal': conformal,
}
"""Fits of calibrations by name."""
