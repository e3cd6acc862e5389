"""Functions that compute split-conformal p-values and the thresholds they imply.

A score is a number for one scan (or one component, slice), high where it is anomalous.
The calibration scores are of n healthy scans that were not trained on. If the new scan
is healthy and exchangeable with them, P(p <= alpha) <= alpha for each alpha. The unit
is the scan: voxels of one brain are not exchangeable. With the largest score of a scan
as its score (the largest component), the level holds for the whole scan at once, which
is the family-wise error rate over its components.
"""

import numpy as np

from uad_jax.online.score_checks import check_level, check_scores

Scores = np.ndarray | list[float]

_ROUNDING = 1e-12
"""Relative tolerance of limits that fractions k / (n + 1) often equal exactly."""


def p_values(calibration: Scores, scores: Scores) -> np.ndarray:
  """Computes the conformal p-value of each new score.

  Vovk, Gammerman and Shafer 2005; Bates et al. 2023 (Ann. Stat. 51):
  p = (1 + #{i: s_i >= s}) / (n + 1).

  >>> p_values([1.0, 2.0, 3.0], [0.0, 2.0, 9.0]).tolist()
  [1.0, 0.75, 0.25]

  Args:
    calibration: Scores of healthy scans [n], n of 1 or more.
    scores: Scores of new scans [m].

  Returns:
    p-values [m] in [1 / (n + 1), 1].

  Raises:
    ValueError: A list is empty or holds nan.
  """
  reference = np.sort(check_scores('calibration', calibration))
  below = np.searchsorted(reference, check_scores('scores', scores), 'left')
  return (1 + reference.size - below) / (reference.size + 1)


def smoothed_p_values(
  calibration: Scores, scores: Scores, generator: np.random.Generator
) -> np.ndarray:
  """Computes randomised conformal p-values, which are exactly uniform in healthy scans.

  Vovk, Gammerman and Shafer 2005, chapter 2: p = (#{i: s_i > s} + U (1 + #{i: s_i =
  s})) / (n + 1), with U uniform on (0, 1]. If `calibration` holds all earlier scores of
  the stream, successive p-values are independent as well, which the martingales of
  `exchangeability` need.

  Args:
    calibration: Scores of healthy scans [n], n of 1 or more.
    scores: Scores of new scans [m].
    generator: Source of U, one draw a score.

  Returns:
    p-values [m] in (0, 1].

  Raises:
    ValueError: A list is empty or holds nan.
  """
  reference = np.sort(check_scores('calibration', calibration))
  scores = check_scores('scores', scores)
  below = np.searchsorted(reference, scores, 'left')
  up_to = np.searchsorted(reference, scores, 'right')
  share = 1 - generator.random(scores.size)
  ties = 1 + up_to - below
  return (reference.size - up_to + share * ties) / (reference.size + 1)


def weighted_p_values(
  calibration: Scores, weights: Scores, scores: Scores, score_weights: Scores
) -> np.ndarray:
  """Computes conformal p-values under covariate shift, from likelihood ratios.

  Tibshirani et al. 2019 (NeurIPS), with ratios w = dP_new / dP_calibration:
  p = (w + sum_i w_i 1{s_i >= s}) / (w + sum_i w_i). Equal weights give `p_values`.

  Args:
    calibration: Scores of healthy scans [n], n of 1 or more.
    weights: Likelihood ratios of the healthy scans [n], 0 or more; known up to a common
      factor.
    scores: Scores of new scans [m].
    score_weights: Likelihood ratios of the new scans [m], above 0; same factor.

  Returns:
    p-values [m] in (0, 1].

  Raises:
    ValueError: A list is empty or holds nan; weights and scores differ in number, or a
      weight is negative or infinite.
  """
  reference = check_scores('calibration', calibration)
  scores = check_scores('scores', scores)
  mass = _check_weights('weights', weights, reference.size)
  new_mass = _check_weights('score_weights', score_weights, scores.size)
  if not (new_mass > 0).all():
    raise ValueError('score_weights holds 0; allowed are numbers above 0')
  order = np.argsort(reference, kind='stable')
  # tail[k]: sum of the weights of all calibration scores from the k-th smallest on.
  tail = np.append(np.cumsum(mass[order][::-1])[::-1], 0.0)
  below = np.searchsorted(reference[order], scores, 'left')
  return (new_mass + tail[below]) / (new_mass + tail[0])


def _check_weights(key: str, weights: Scores, count: int) -> np.ndarray:
  """Returns weights as float64 [count]; they must be finite and not negative."""
  array = check_scores(key, weights).astype(np.float64)
  if array.size != count:
    raise ValueError(f'{key} has {array.size} numbers; there are {count} scores')
  if not (np.isfinite(array) & (array >= 0)).all():
    raise ValueError(f'{key} holds negative or infinite numbers; allowed are 0 or more')
  return array


def threshold(calibration: Scores, alpha: float) -> float:
  """Computes the smallest score whose conformal p-value is at most alpha.

  With the k-th largest calibration score s_(k) and k = floor(alpha (n + 1)), p <= alpha
  holds for the scores above s_(k). The result is the next number of the calibration's
  type (float32 or float64) above s_(k), so that `score >= threshold` and `p <= alpha`
  agree for scores of that type. With the largest score of a scan as its score, alpha is
  the family-wise error rate: the share of healthy scans with anything marked.

  >>> threshold([1.0, 2.0, 3.0], 0.2)
  inf

  Args:
    calibration: Scores of healthy scans [n], n of 1 or more.
    alpha: Error rate in (0, 1).

  Returns:
    The threshold; inf if (n + 1) alpha < 1, since no p-value is then as small.

  Raises:
    ValueError: alpha is not in (0, 1), or the scores are empty or hold nan.
  """
  check_level('alpha', alpha)
  reference = np.sort(check_scores('calibration', calibration))
  fractions = np.arange(1, reference.size + 1) / (reference.size + 1)
  rank = int(np.searchsorted(fractions, alpha, 'right'))  # the same rounding as p
  if rank == 0:
    return float('inf')
  largest = reference[-rank]
  return float(np.nextafter(largest, largest.dtype.type(np.inf)))


def benjamini_hochberg(p_values: Scores, alpha: float) -> np.ndarray:
  """Selects scans of a batch at a bounded false discovery rate.

  Benjamini and Hochberg 1995: the k smallest p-values are rejected, with the largest k
  for which p_(k) <= k alpha / m. Conformal p-values that share their calibration scores
  are positively dependent, and the rate still holds (Bates et al. 2023).

  >>> benjamini_hochberg([0.01, 0.5, 0.03, 0.9], 0.1).tolist()
  [True, False, True, False]

  Args:
    p_values: p-values [m] in (0, 1].
    alpha: False discovery rate in (0, 1).

  Returns:
    Boolean array [m], True where the scan is called anomalous.

  Raises:
    ValueError: alpha is not in (0, 1); there are no p-values, or one is outside (0, 1].
  """
  check_level('alpha', alpha)
  values = check_scores('p_values', p_values).astype(np.float64)
  if not ((values > 0) & (values <= 1)).all():
    raise ValueError('p_values holds numbers outside of (0, 1]; allowed are only those')
  limits = np.arange(1, values.size + 1) * alpha / values.size
  passing = np.flatnonzero(np.sort(values) <= limits * (1 + _ROUNDING))
  if passing.size == 0:
    return np.zeros(values.size, bool)
  return values <= np.sort(values)[passing[-1]]
