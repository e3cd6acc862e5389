"""Functions that fit a generalised Pareto distribution to excesses over a threshold."""

import math
from typing import NamedTuple

import numpy as np
from scipy import optimize

from uad_jax.online.score_checks import check_scores


class Pareto(NamedTuple):
  """Generalised Pareto distribution P(Y > y) = (1 + shape y / scale)^(-1 / shape).

  Attributes:
    shape: Shape; 0 is the exponential distribution, negative values end at -scale /
      shape.
    scale: Scale above 0, in units of the excess.
  """

  shape: float
  scale: float


def tail_excess(tail: Pareto, chance: float) -> float:
  """Computes the excess that is surpassed with a probability in (0, 1].

  y = scale / shape (chance^-shape - 1), which tends to -scale ln(chance) at shape 0.

  >>> round(tail_excess(Pareto(0.0, 2.0), 0.5), 6)
  1.386294

  Args:
    tail: Distribution of the excesses.
    chance: Probability in (0, 1].
  """
  log = -math.log(chance)
  if tail.shape == 0:
    return tail.scale * log
  return tail.scale * math.expm1(tail.shape * log) / tail.shape


def fit_pareto(excesses: np.ndarray | list[float]) -> Pareto:
  """Fits a generalised Pareto distribution by maximum likelihood.

  Grimshaw 1993 (Technometrics 35): with x = shape / scale, the likelihood is largest at
  shape = mean ln(1 + x y) for each x, which leaves one unknown. Its local maxima are
  bracketed on a grid between -1 / max y and Grimshaw's upper bound, refined by Brent's
  method, and the best with a shape above -1 is taken (below -1 the likelihood has no
  bound). x = 0, the exponential distribution, is no special case here, because mean
  ln(1 + x y) / x and the derivative of the likelihood are formed without cancellation.
  Without a maximum, as in many samples of less than ten, it is fitted by moments, or as
  exponential if that would exclude a value.

  Args:
    excesses: Amounts above the threshold [n], each finite and above 0.

  Returns:
    The distribution, its scale in units of the excesses.

  Raises:
    ValueError: There are no excesses, or one is not finite or not above 0.
  """
  values = check_scores('excesses', excesses).astype(np.float64)
  if not (np.isfinite(values) & (values > 0)).all():
    raise ValueError(
      'excesses holds numbers not above 0; allowed are finite ones above'
    )
  mean = float(values.mean())
  scaled = values / mean
  best, best_likelihood = None, -math.inf
  for ratio in _maxima(scaled):
    _, scale = _profile(np.array([ratio]), scaled)
    shape, scale = float(ratio * scale[0]), float(scale[0])
    likelihood = -(1 + math.log(scale) + shape)
    if shape > -1 and likelihood > best_likelihood:
      best, best_likelihood = Pareto(shape, scale * mean), likelihood
  return best or _moments(values)


def _maxima(scaled: np.ndarray) -> list[float]:
  """Local maxima of the profile likelihood over x = shape / scale.

  Excesses have mean 1 here. Grimshaw's bound is 2 (1 - min y) / (min y)^2.
  """
  smallest, largest = scaled.min(), scaled.max()
  bound = min(2 * (1 - smallest) / max(smallest**2, 1e-12), 1e12)
  negative = -(1 - np.geomspace(1e-8, 1, 64)) / largest
  positive = np.geomspace(1e-4, bound, 96) if bound > 1e-4 else np.array([1e-4])
  grid = np.concatenate([negative, positive])
  slopes, _ = _profile(grid, scaled)
  rises = np.flatnonzero((slopes[:-1] > 0) & (slopes[1:] <= 0))

  def slope(ratio: float) -> float:
    return float(_profile(np.array([ratio]), scaled)[0][0])

  return [optimize.brentq(slope, grid[i], grid[i + 1], xtol=1e-12) for i in rises]


def _profile(ratios: np.ndarray, scaled: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Slope of the profile log-likelihood a sample, and the best scale, at each x.

  With w = mean y / (1 + x y) and a = mean y^2 phi(x y), phi(t) = (ln(1 + t) - t / (1 +
  t)) / t^2: the scale is mean ln(1 + x y) / x = w + x a, the slope a / scale - w.
  """
  products = ratios[:, None] * scaled[None, :]
  small = np.abs(products) < 1e-3
  t = np.where(small, 1.0, products)
  phi = np.where(
    small,
    np.polyval([5 / 6, -4 / 5, 3 / 4, -2 / 3, 1 / 2], products),
    (np.log1p(t) - t / (1 + t)) / t**2,
  )
  reciprocal = (scaled / (1 + products)).mean(1)
  curvature = (scaled**2 * phi).mean(1)
  scale = reciprocal + ratios * curvature
  return curvature / scale - reciprocal, scale


def _moments(values: np.ndarray) -> Pareto:
  """Fit by mean and variance; exponential if it excludes a value or has shape < -1.

  Hosking and Wallis 1987: r = mean^2 / variance, shape = (1 - r) / 2, scale = mean (1 +
  r) / 2.
  """
  mean, variance = float(values.mean()), float(values.var())
  if variance > 0:
    ratio = mean**2 / variance
    tail = Pareto((1 - ratio) / 2, mean * (1 + ratio) / 2)
    if tail.shape > -1 and 1 + tail.shape * values.max() / tail.scale > 0:
      return tail
  return Pareto(0.0, mean)
