"""Functions that compute bootstrap intervals of metrics by resampling the subjects.

They also compute the paired difference of a metric between two scorers or runs.
Subjects are resampled and not voxels, because voxels of one brain are not independent.
All resamples are computed as one product of a weight matrix [R, n] (R resamples, n
scans) and counts per scan [n, K] (K bins). Two runs on the same subjects get the same
weights, which pairs their difference.
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
  """Estimate of a metric with the bounds of its 95 % bootstrap interval.

  Attributes:
    value: The estimate.
    low: Lower bound, the 2.5 % percentile of the values in the resamples.
    high: Upper bound, the 97.5 % percentile of the values in the resamples.
  """

  value: float
  low: float
  high: float


class Resampled:
  """Voxel counts and metrics of test scans, with bootstrap resamples of the scans.

  Attributes:
    sample: Counts and values of the n test scans.
    drawn: Number of times that each of R resamples holds each scan, [R, n].
  """

  def __init__(self, sample: Sample, drawn: np.ndarray):
    self.sample, self.drawn = sample, drawn

  @functools.cached_property
  def ranking(self) -> histogram.Ranking:
    """Computes AUPRC, AUROC and oracle Dice on the pooled voxels of each resample.

    [R] values each, computed once and shared by all metrics that read them. Oracle Dice
    is the best Dice over all thresholds.
    """
    healthy, lesion = self.sample.healthy, self.sample.lesion
    # Whole numbers below 2^24 are exact in float32, which multiplies twice as fast;
    # none comes near 2^53.
    most = self.drawn.sum(1).max() * max(healthy.max(), lesion.max())
    exact = np.float32 if most < 2**24 else np.float64
    drawn = self.drawn.astype(exact)
    pooled = ((drawn @ x.astype(exact)).astype(np.float64) for x in (healthy, lesion))
    return histogram.ranking(*pooled)


Metric = Callable[[Resampled], np.ndarray]
"""Function that computes a metric in each of R resamples: `Resampled` -> [R] values."""


class Estimated(NamedTuple):
  """Estimates of metrics on a set of test scans and on its bootstrap resamples.

  Attributes:
    values: Estimates on the test scans themselves, by name of the metric.
    draws: Values in the resamples, [R] each, by name of the metric.
  """

  values: dict[str, float]
  draws: dict[str, np.ndarray]

  def interval(self, name: str) -> Interval:
    """Returns the estimate of the metric `name` with its 95 % bootstrap interval."""
    return percentiles(self.values[name], self.draws[name])

  def minus(self, other: 'Estimated', name: str) -> Interval:
    """Computes the difference of a metric to another scorer or run on the same scans.

    Args:
      other: Estimates of another scorer or run on the same scans and resamples.
      name: Name of the metric.

    Returns:
      The metric here minus that in `other`, with its 95 % bootstrap interval.
    """
    return percentiles(
      self.values[name] - other.values[name], self.draws[name] - other.draws[name]
    )


def weights(sample: Sample, resamples: int, seed: int) -> np.ndarray:
  """Draws bootstrap resamples of test scans, as numbers of copies of each scan.

  Entry [r, i] of the result, [R, n], tells how often resample r holds scan i. Subjects
  with and without lesions are drawn separately, because their numbers are a choice of
  the study and not random. Scans of one subject are drawn together.

  Args:
    sample: Counts and values of the n test scans.
    resamples: Number R of resamples.
    seed: Seed of the random draws.
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


def whole(sample: Sample) -> Resampled:
  """Returns the original test scans, each once, in the form of a single resample.

  A metric function then computes the metric on the test scans themselves.
  """
  return Resampled(sample, np.ones((1, len(sample.subjects))))


def estimated(
  metrics: Mapping[str, Metric],
  sample: Sample,
  drawn: np.ndarray,
  exact: Mapping[str, float] | None = None,
) -> Estimated:
  """Computes metrics on a set of test scans and on each of its bootstrap resamples.

  A metric is left out if the set lacks a count or value that the metric needs.
  Resamples are processed in chunks, which bounds the memory.

  Args:
    metrics: Functions that compute the metrics, by name.
    sample: Counts and values of the n test scans.
    drawn: Resamples from `weights`, [R, n].
    exact: Estimates by metric that were computed elsewhere, for example from histograms
      that are not compressed; they replace the estimates on the test scans.
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
  """Computes a 95 % interval of a metric from its values in bootstrap resamples.

  The bounds are the 2.5 % and 97.5 % percentiles of the values.

  Args:
    value: The estimate.
    draws: [R] values in the resamples; those that are not finite are ignored. If none
      is finite, the bounds are nan.
  """
  draws = draws[np.isfinite(draws)]
  if draws.size == 0:
    return Interval(value, np.nan, np.nan)
  low, high = np.percentile(draws, [2.5, 97.5])
  return Interval(value, float(low), float(high))


def mean_of(values: np.ndarray, resamples: int = 2000, seed: int = 0) -> Interval:
  """Computes the mean of a value over subjects, with its 95 % bootstrap interval.

  Args:
    values: [n], one value for each subject.
    resamples: Number of resamples.
    seed: Seed of the random draws.
  """
  values = np.asarray(values)
  drawn = np.random.default_rng(seed).integers(
    len(values), size=(resamples, len(values))
  )
  return percentiles(float(values.mean()), values[drawn].mean(1))


def resample(
  metric: Metric, sample: Sample, resamples: int = 2000, seed: int = 0
) -> np.ndarray:
  """Computes a metric on each bootstrap resample of the test scans.

  Two scorers or runs on the same subjects get the same resamples, so their values are
  paired.

  Returns:
    Values of the metric, one for each resample.
  """
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
  """Computes the difference of a metric between two scorers or runs, with interval.

  The metric of `b` is subtracted from that of `a`. Each bootstrap resample holds the
  same subjects for `a` and for `b`.

  Args:
    metric: One of `metrics.METRICS`, or a metric made by `metric_forms`.
    a: Counts and values of the first scorer or run.
    b: Counts and values of the second scorer or run, on the same subjects.
    resamples: Number of resamples.
    seed: Seed of the random draws.
    other: Metric of `b`, if it is not `metric`.

  Raises:
    ValueError: The subjects differ, or the numbers of their lesion voxels differ.
  """
  a, b = align(a, b)
  drawn = weights(a, resamples, seed)
  of_a = estimated({'difference': metric}, a, drawn)
  return of_a.minus(estimated({'difference': other or metric}, b, drawn), 'difference')
