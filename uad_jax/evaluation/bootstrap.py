"""Intervals and paired differences from resampled subjects.

Subjects are resampled, not voxels: voxels of one brain are not independent. All
resamples are one product of a matrix of weights [R, n] with per-subject counts [n, K].
Two runs on the same subjects get the same weights, which pairs their difference.
"""

import contextlib
import functools
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from uad_jax.evaluation import histogram
from uad_jax.evaluation.sample import Sample, align, ordered

_CHUNK = 250


class Interval(NamedTuple):
  """An estimate with the 2.5 % and 97.5 % percentiles of its resamples."""

  value: float
  low: float
  high: float


class Resampled:
  """The scans of a sample in each of R resamples.

  Attributes:
    sample: The scans.
    drawn: How often each was drawn, [R, n].
  """

  def __init__(self, sample: Sample, drawn: np.ndarray):
    self.sample, self.drawn = sample, drawn

  @functools.cached_property
  def ranking(self) -> histogram.Ranking:
    """Of the pooled counts of each resample, [R]; made once for all its metrics."""
    healthy, lesion = self.sample.healthy, self.sample.lesion
    # Whole numbers below 2^24 are exact in float32, which multiplies twice as fast;
    # none comes near 2^53.
    most = self.drawn.sum(1).max() * max(healthy.max(), lesion.max())
    exact = np.float32 if most < 2**24 else np.float64
    drawn = self.drawn.astype(exact)
    pooled = ((drawn @ x.astype(exact)).astype(np.float64) for x in (healthy, lesion))
    return histogram.ranking(*pooled)


Metric = Callable[[Resampled], np.ndarray]
"""Its value in each resample, [R]."""


class Estimated(NamedTuple):
  """Metrics of one sample, and what its resamples gave."""

  values: dict[str, float]
  draws: dict[str, np.ndarray]  # [R] each

  def interval(self, name: str) -> Interval:
    """The metric with its 95 % interval."""
    return percentiles(self.values[name], self.draws[name])

  def minus(self, other: 'Estimated', name: str) -> Interval:
    """The paired difference to another sample of the same scans and resamples."""
    return percentiles(
      self.values[name] - other.values[name], self.draws[name] - other.draws[name]
    )


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


def ranked(name: str) -> Metric:
  """A field of `histogram.Ranking` of the pooled histograms."""
  return lambda resampled: getattr(resampled.ranking, name)


def ratio(
  numerator: Mapping[str, float], denominator: Mapping[str, float], where: str = ''
) -> Metric:
  """sum_i a_i count_i / sum_i b_i count_i, each count first summed over subjects.

  Args:
    numerator: Factor by name of count.
    denominator: Factor by name of count.
    where: 'healthy' to sum over scans without lesions only.
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
  """The mean of a per-subject value over the scans that have it."""

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
  """AUROC of a per-subject score between scans with and without lesions."""

  def metric(resampled):
    sample, drawn = resampled.sample, resampled.drawn
    scores, index = np.unique(sample.values[name], return_inverse=True)
    place = np.zeros((index.size, scores.size))
    place[np.arange(index.size), index] = 1
    return histogram.ranking(
      (drawn * ~sample.diseased) @ place, (drawn * sample.diseased) @ place
    ).auroc

  return metric


def whole(sample: Sample) -> Resampled:
  """The one resample that holds each scan once."""
  return Resampled(sample, np.ones((1, len(sample.subjects))))


def estimated(
  metrics: Mapping[str, Metric],
  sample: Sample,
  drawn: np.ndarray,
  exact: Mapping[str, float] | None = None,
) -> Estimated:
  """Every metric that the sample has the values for, a few hundred resamples at a time.

  Args:
    metrics: By name.
    sample: The scans.
    drawn: Of `weights`.
    exact: Estimates made elsewhere, which replace those made here.
  """
  exact, values, once = exact or {}, {}, whole(sample)
  for name, metric in metrics.items():
    with contextlib.suppress(KeyError):  # a value this method or data does not have
      values[name] = exact[name] if name in exact else float(metric(once)[0])
  draws = {name: [] for name in values}
  for start in range(0, len(drawn), _CHUNK):
    part = Resampled(sample, drawn[start : start + _CHUNK])
    for name, parts in draws.items():
      parts.append(metrics[name](part))
  return Estimated(values, {name: np.concatenate(x) for name, x in draws.items()})


def percentiles(value: float, draws: np.ndarray) -> Interval:
  """The 95 % percentile interval; resamples without a value are left out."""
  draws = draws[np.isfinite(draws)]
  if draws.size == 0:
    return Interval(value, np.nan, np.nan)
  low, high = np.percentile(draws, [2.5, 97.5])
  return Interval(value, float(low), float(high))


def mean_of(values: np.ndarray, resamples: int = 2000, seed: int = 0) -> Interval:
  """The mean of one value for each subject, resampled by subject."""
  values = np.asarray(values)
  drawn = np.random.default_rng(seed).integers(
    len(values), size=(resamples, len(values))
  )
  return percentiles(float(values.mean()), values[drawn].mean(1))


def resample(
  metric: Metric, sample: Sample, resamples: int = 2000, seed: int = 0
) -> np.ndarray:
  """The metric in each resample, [R]; two runs on the same subjects have the same."""
  sample = ordered(sample)
  return estimated({'': metric}, sample, weights(sample, resamples, seed)).draws['']


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
    metric: One of `metrics.POOLED`, or any made by `ranked`, `ratio`, `mean`.
    a: The one sample.
    b: The other, of another scorer or another run on the same subjects.
    resamples: Number of resamples.
    seed: Of the resampling.
    other: The metric of `b` where it is not the same one.
  """
  a, b = align(a, b)
  drawn = weights(a, resamples, seed)
  one = estimated({'difference': metric}, a, drawn)
  return one.minus(estimated({'difference': other or metric}, b, drawn), 'difference')
