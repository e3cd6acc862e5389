"""Intervals and paired differences from resampled subjects.

Subjects are resampled, not voxels: voxels of one brain are not independent. All
resamples are one product of a matrix of weights [R, n] with per-subject counts [n, K].
Two runs on the same subjects get the same weights, which pairs their difference.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from uad_jax.evaluation import histogram
from uad_jax.evaluation.sample import Sample, align

_CHUNK = 250


class Interval(NamedTuple):
  """An estimate with the 2.5 % and 97.5 % percentiles of its resamples."""

  value: float
  low: float
  high: float


Metric = Callable[[Sample, np.ndarray], np.ndarray]
"""(sample, weights [R, n]) -> [R]."""


def weights(sample: Sample, resamples: int, seed: int) -> np.ndarray:
  """How often each scan is drawn in each resample, [R, n].

  Subjects with and without lesions are drawn separately: how many of each were scanned
  is a choice of the study and not a chance of it.
  """
  rng = np.random.default_rng(seed)
  names, index = np.unique(sample.subjects, return_inverse=True)
  diseased = np.bincount(index, sample.diseased, len(names)) > 0
  drawn = np.zeros((resamples, len(names)))
  for stratum in (diseased, ~diseased):
    members = np.flatnonzero(stratum)
    if members.size:
      chance = np.full(members.size, 1 / members.size)
      drawn[:, members] = rng.multinomial(members.size, chance, resamples)
  return drawn[:, index]


def histograms_of(sample: Sample, drawn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """The pooled counts of each resample, two of [R, K]."""
  # Whole numbers below 2^24 are exact in float32, which multiplies twice as fast; none
  # comes near 2^53.
  most = drawn.sum(1).max() * max(sample.healthy.max(), sample.lesion.max())
  exact = np.float32 if most < 2**24 else np.float64
  drawn = drawn.astype(exact)
  return tuple(
    (drawn @ counts.astype(exact)).astype(np.float64)
    for counts in (sample.healthy, sample.lesion)
  )


def curve(metric: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Metric:
  """A metric of the pooled histograms."""
  return lambda sample, drawn: metric(*histograms_of(sample, drawn))


def ratio(
  numerator: Mapping[str, float], denominator: Mapping[str, float], where: str = ''
) -> Metric:
  """sum_i a_i count_i / sum_i b_i count_i, each count first summed over subjects.

  Args:
    numerator: Factor by name of count.
    denominator: Factor by name of count.
    where: 'healthy' to sum over scans without lesions only.
  """

  def metric(sample, drawn):
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
  """The mean of a per-subject value over the scans that have it."""

  def metric(sample, drawn):
    value = sample.values[name]
    known = np.isfinite(value)
    if where == 'healthy':
      known = known & ~sample.diseased
    elif where == 'diseased':
      known = known & sample.diseased
    with np.errstate(invalid='ignore', divide='ignore'):
      return (drawn @ np.where(known, value, 0)) / (drawn @ known)

  return metric


def separation(name: str) -> Metric:
  """AUROC of a per-subject score between scans with and without lesions."""

  def metric(sample, drawn):
    scores, index = np.unique(sample.values[name], return_inverse=True)
    place = np.zeros((index.size, scores.size))
    place[np.arange(index.size), index] = 1
    return histogram.auroc(
      (drawn * ~sample.diseased) @ place, (drawn * sample.diseased) @ place
    )

  return metric


def resampled(metric: Metric, sample: Sample, drawn: np.ndarray) -> np.ndarray:
  """The metric of each resample, [R], a few hundred at a time to bound the memory."""
  parts = [
    metric(sample, drawn[start : start + _CHUNK])
    for start in range(0, len(drawn), _CHUNK)
  ]
  return np.concatenate(parts)


def estimate(metric: Metric, sample: Sample) -> float:
  """The metric with each scan once."""
  return float(metric(sample, np.ones((1, len(sample.subjects))))[0])


def percentiles(value: float, draws: np.ndarray) -> Interval:
  """The 95 % percentile interval; resamples without a value are left out."""
  draws = draws[np.isfinite(draws)]
  if draws.size == 0:
    return Interval(value, np.nan, np.nan)
  low, high = np.percentile(draws, [2.5, 97.5])
  return Interval(value, float(low), float(high))


def interval(
  metric: Metric, sample: Sample, drawn: np.ndarray, value: float | None = None
) -> Interval:
  """The metric's estimate and interval; `value` replaces an estimate made elsewhere."""
  value = estimate(metric, sample) if value is None else value
  return percentiles(value, resampled(metric, sample, drawn))


def paired(
  metric: Metric,
  a: Sample,
  b: Sample,
  resamples: int = 2000,
  seed: int = 0,
  other: Metric | None = None,
) -> Interval:
  """metric(a) - metric(b) with both evaluated on the same resampled subjects.

  Args:
    metric: One of `metrics.POOLED`, or any made by `curve`, `ratio`, `mean`.
    a: The one sample.
    b: The other, of another scorer or another run on the same subjects.
    resamples: Number of resamples.
    seed: Of the resampling.
    other: The metric of `b` where it is not the same one.
  """
  a, b = align(a, b)
  other = other or metric
  drawn = weights(a, resamples, seed)
  return percentiles(
    estimate(metric, a) - estimate(other, b),
    resampled(metric, a, drawn) - resampled(other, b, drawn),
  )
