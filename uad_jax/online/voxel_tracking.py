"""Running mean and variance of a residual map at each voxel, over aligned scans.

A residual that is large at one voxel in every scan belongs to the model or the scanner;
in standard deviations of that voxel it is small. All functions are pure and take any
grid [*S], 2-D or 3-D.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from uad_jax.online.array_checks import check_map
from uad_jax.ops.limits import check_number

Array = np.ndarray


class Moments(NamedTuple):
  """Weighted moments of each voxel over all scans so far.

  Attributes:
    weight: Sum of the weights, float32 [*S].
    mean: Weighted mean, float32 [*S].
    square: Weighted sum of the squared deviations from the mean, float32 [*S].
  """

  weight: Array
  mean: Array
  square: Array


class ExponentialMoments(NamedTuple):
  """Moments of each voxel in which a scan counts less with each later scan.

  Attributes:
    mean: Exponential moving average, float32 [*S].
    variance: Exponentially weighted variance, float32 [*S].
  """

  mean: Array
  variance: Array


def empty(shape: Sequence[int]) -> Moments:
  """Creates the moments of no scan, zeros on a grid of this shape."""
  return Moments(*(np.zeros(tuple(shape), np.float32) for _ in range(3)))


def observe(moments: Moments, residual: Array, mask: Array) -> Moments:
  """Adds a scan to the exact moments of each voxel.

  Weighted update in one pass (West 1979; Welford 1962 for weights of 1):
  W' = W + w, mean' = mean + w / W' (r - mean), M' = M + w (r - mean) (r - mean').

  Args:
    moments: Moments so far.
    residual: Residual or anomaly map r [*S].
    mask: Weight w of each voxel [*S], 0 or more: the brain mask. A voxel of weight 0
      keeps its moments.

  Returns:
    The new moments.

  Raises:
    ValueError: The grid differs from that of the moments, a value is not finite, or a
      weight is negative.

  Examples:
    >>> moments = empty((1,))
    >>> for residual in (1.0, 3.0):
    ...   moments = observe(moments, np.array([residual]), np.ones(1))
    >>> moments.mean.tolist(), variance(moments).tolist()
    ([2.0], [1.0])
  """
  residual, mask = _checked(residual, mask, moments.mean.shape)
  weight = moments.weight + mask
  share = np.divide(mask, weight, out=np.zeros_like(weight), where=weight > 0)
  deviation = residual - moments.mean
  mean = moments.mean + share * deviation
  square = moments.square + mask * deviation * (residual - mean)
  return Moments(weight, mean, square)


def variance(moments: Moments) -> Array:
  """Returns the variance of each voxel, M / W [*S]; 0 where no scan was observed."""
  zeros = np.zeros_like(moments.square)
  return np.divide(moments.square, moments.weight, out=zeros, where=moments.weight > 0)


def start(healthy: Moments, pseudo_count: float) -> Moments:
  """Makes the first moments of a stream from those of healthy validation scans.

  Each voxel keeps its mean and variance and gets the weight `pseudo_count`: so many
  scans does the healthy reference stand for. Voxels that no healthy brain covered take
  the mean and variance over all covered voxels.

  Args:
    healthy: Moments over healthy validation scans.
    pseudo_count: Weight of the healthy scans together, in scans, above 0.

  Returns:
    Moments of weight `pseudo_count` everywhere.

  Raises:
    ValueError: No voxel was observed, or `pseudo_count` is not above 0.
  """
  check_number('pseudo_count', pseudo_count, 0, above=True)
  covered = healthy.weight > 0
  if not covered.any():
    raise ValueError(
      'healthy: no voxel was observed; allowed are moments of one scan or more'
    )
  means, variances = healthy.mean[covered], variance(healthy)[covered]
  spread = variances.mean(dtype=np.float64) + means.var(dtype=np.float64)
  mean = np.where(covered, healthy.mean, means.mean(dtype=np.float64))
  squares = pseudo_count * np.where(covered, variance(healthy), spread)
  weight = np.full_like(healthy.weight, pseudo_count)
  return Moments(weight, mean.astype(np.float32), squares.astype(np.float32))


def exponential(moments: Moments) -> ExponentialMoments:
  """Makes the first exponential moments of a stream from exact ones, as of `start`."""
  return ExponentialMoments(moments.mean, variance(moments))


def observe_exponential(
  moments: ExponentialMoments, residual: Array, mask: Array, rate: float
) -> ExponentialMoments:
  """Adds a scan to the exponential moments of each voxel.

  With a = rate * w: mean' = (1 - a) mean + a r and
  variance' = (1 - a) (variance + a (r - mean)^2).

  Args:
    moments: Moments so far.
    residual: Residual or anomaly map r [*S].
    mask: Weight w of each voxel [*S] in [0, 1]: the brain mask.
    rate: Weight of a new scan, in (0, 1]; about 1 / rate scans are remembered.

  Returns:
    The new moments.

  Raises:
    ValueError: The grid differs, a value is not finite, or a weight or the rate is
      outside its range.
  """
  check_number('rate', rate, 0, 1, above=True)
  residual, mask = _checked(residual, mask, moments.mean.shape)
  if mask.max(initial=0) > 1:
    raise ValueError(f'mask has a weight of {mask.max():g}; allowed are 0 to 1')
  a = np.float32(rate) * mask
  deviation = residual - moments.mean
  return ExponentialMoments(
    moments.mean + a * deviation,
    (1 - a) * (moments.variance + a * deviation**2),
  )


def anchored(
  reference: ExponentialMoments, stream: ExponentialMoments, share: float
) -> ExponentialMoments:
  """Mixes the moments of a stream with a frozen healthy reference, for scoring.

  The moments of the mixture of both distributions with weights s and 1 - s: the mean is
  s m_r + (1 - s) m_s, the variance s v_r + (1 - s) v_s + s (1 - s) (m_r - m_s)^2. An
  exponential average forgets its start; with an anchor the mean moves at most the share
  1 - s of the way to a pattern in every scan.

  Args:
    reference: Moments over healthy validation scans, which no update changes.
    stream: Moments of the stream.
    share: Weight s of the reference, in [0, 1]; 0 leaves the stream as it is.

  Returns:
    Moments for `standardise`.

  Raises:
    ValueError: The grids differ, or `share` is outside [0, 1].
  """
  check_number('share', share, 0, 1)
  check_map('reference', reference.mean, stream.mean.shape)
  s = np.float32(share)
  mean = s * reference.mean + (1 - s) * stream.mean
  within = s * reference.variance + (1 - s) * stream.variance
  between = s * (1 - s) * (reference.mean - stream.mean) ** 2
  return ExponentialMoments(mean, within + between)


def standardise(residual: Array, mean: Array, variance: Array, epsilon: float) -> Array:
  """Computes z = (r - mean) / sqrt(variance + epsilon) of each voxel.

  Args:
    residual: Residual or anomaly map r [*S].
    mean: Mean of each voxel [*S].
    variance: Variance of each voxel [*S].
    epsilon: Added to the variance, above 0, in the map's unit squared.

  Returns:
    z, float32 [*S].

  Raises:
    ValueError: The grid differs, a value is not finite, or `epsilon` is not above 0.
  """
  check_number('epsilon', epsilon, 0, above=True)
  residual = check_map('residual', residual, mean.shape)
  return (residual - mean) / np.sqrt(variance + np.float32(epsilon))


def _checked(residual: Array, mask: Array, shape: Sequence[int]) -> tuple[Array, Array]:
  """Residual and weights of a scan as float32, checked against the state's grid."""
  residual = check_map('residual', residual, shape)
  mask = check_map('mask', mask, shape)
  if mask.min(initial=0) < 0:
    raise ValueError(f'mask has a weight of {mask.min():g}; allowed are 0 or more')
  return residual, mask
