"""Functions that measure the rows of the study on scans, and their differences."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from uad_jax.comparison.field.heads import Heads, scans
from uad_jax.comparison.field.rows import SCORE, Row
from uad_jax.evaluate import examine
from uad_jax.evaluation import bootstrap, histogram, metrics
from uad_jax.evaluation.decisions import Decisions
from uad_jax.evaluation.measure import MAP, pooled_histograms
from uad_jax.evaluation.postprocess import Postprocess
from uad_jax.evaluation.sample import Sample, restrict
from uad_jax.evaluation.summary import make_sample, plain, plain_all

RESAMPLES = 2000
KEPT = (
  'auprc', 'oracle_dice', 'dice_at_1', 'dice_at_5', 'subject_auprc', 'ventricle_dice',
  'dlr', 'rkr', 'hrr', 'cfe', 'folding_fraction', 'gate_healthy_open',
  'gate_lesion_recall',
)  # fmt: skip
"""Metrics of a record, of `metrics.METRICS`."""

NAME = SCORE.removeprefix(MAP)


class Measured(NamedTuple):
  """A row measured on the test scans.

  Attributes:
    sample: Counts and values of each scan.
    estimated: The metrics in `KEPT` with their resamples.
    numbers: Estimates with intervals by metric, and by pathology the AUPRC of its
      scans, such as 'iso', whose lesions have the mean intensity of their surroundings.
  """

  sample: Sample
  estimated: bootstrap.Estimated
  numbers: dict[str, Any]


def limits(row: Row, heads: Heads, chain: Postprocess) -> dict[int, float]:
  """Sets the thresholds of a row on healthy scans.

  Args:
    row: The row on healthy validation scans.
    heads: These scans.
    chain: Post-processing.

  Returns:
    Thresholds by the percentage of healthy voxels above them.
  """
  pooled = pooled_histograms(scans(heads, {SCORE: row.arrays[SCORE]}), [NAME], chain)
  return {
    percent: histogram.threshold_at(pooled[NAME], percent / 100)
    for percent in metrics.FPR_PERCENT
  }


def measured(
  row: Row, heads: Heads, thresholds: Mapping[int, float], chain: Postprocess
) -> Measured:
  """Measures a row on test scans.

  Args:
    row: The row.
    heads: Test scans.
    thresholds: From `limits`.
    chain: Post-processing.
  """
  decisions = Decisions({NAME: thresholds}, NAME, {})
  seen, numbers = [], []
  for scan in scans(heads, row.arrays):
    scan, by_name, *_ = examine(scan, [NAME], decisions, chain, {})
    seen.append(scan)
    numbers.append(by_name[NAME])
  sample, _ = make_sample(seen, numbers)
  wanted = {name: metrics.METRICS[name] for name in KEPT}
  estimated = _estimated(wanted, sample)
  estimates = plain_all(estimated)
  for kind in sorted(set(sample.pathology[sample.diseased].tolist())):
    only = restrict(sample, sample.diseased & (sample.pathology == kind))
    alone = _estimated({'auprc': metrics.POOLED['auprc']}, only)
    estimates[kind] = plain_all(alone)['auprc']
  return Measured(sample, estimated, estimates)


def _estimated(wanted: Mapping, sample: Sample) -> bootstrap.Estimated:
  """Metrics with their resamples, the same for all rows on the same scans."""
  return bootstrap.estimated(wanted, sample, bootstrap.weights(sample, RESAMPLES, 0))


def expanded(
  value: float, draws: np.ndarray, n: int
) -> tuple[bootstrap.Interval, float]:
  """Computes a bootstrap interval and p-value that are right for few subjects.

  Percentile intervals of n subjects are too short, by about the factor
  sqrt((n - 1) / n) and by that of the normal to Student's t distribution. Expanded
  percentiles (Hesterberg, The American Statistician 2015) have the level

    alpha' / 2 = Phi(-sqrt(n / (n - 1)) t_(alpha/2, n-1)).

  Args:
    value: The estimate.
    draws: [R] values in the resamples.
    n: Number of subjects that are resampled, 2 or more.

  Returns:
    The 95 % interval, and the two-sided p-value of 0: the alpha at which an end of the
    interval is 0, at least that of one resample.

  Examples:
    >>> draws = np.random.default_rng(0).normal(1.0, 0.2, 4000)
    >>> interval, p = expanded(1.0, draws, 12)
    >>> [round(x, 1) for x in interval], p < 0.01
    ([1.0, 0.5, 1.5], True)
  """
  draws = draws[np.isfinite(draws)]
  factor = np.sqrt(n / (n - 1))
  tail = stats.norm.cdf(-factor * stats.t.ppf(0.975, n - 1))
  low, high = np.quantile(draws, [tail, 1 - tail])
  share = min(np.mean(draws <= 0), np.mean(draws >= 0))
  quantile = -stats.norm.ppf(np.clip(share, 1 / len(draws), 0.5))
  p = 2 * stats.t.sf(quantile / factor, n - 1)
  return bootstrap.Interval(value, float(low), float(high)), float(p)


def holm(p: Sequence[float]) -> list[float]:
  """Adjusts p-values for their number (Holm, Scandinavian Journal of Statistics 1979).

  Examples:
    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
  """
  order, adjusted, highest = np.argsort(p), np.empty(len(p)), 0.0
  for rank, index in enumerate(order):
    highest = max(highest, min(1.0, (len(p) - rank) * p[index]))
    adjusted[index] = highest
  return adjusted.tolist()


def differences(rows: Mapping[str, Measured], ours: str) -> dict[str, dict[str, Any]]:
  """Computes the AUPRC of one row minus that of each other, paired over subjects.

  Args:
    rows: Measured rows by name.
    ours: Name of the row that the others are subtracted from.

  Returns:
    By name of the other row 'value', 'interval' (`expanded`), 'p' and 'holm'.
  """
  mine = rows[ours].estimated
  n = len(set(rows[ours].sample.subjects.tolist()))
  result = {}
  for name, other in rows.items():
    if name != ours:
      draws = mine.draws['auprc'] - other.estimated.draws['auprc']
      value = mine.values['auprc'] - other.estimated.values['auprc']
      interval, p = expanded(value, draws, n)
      result[name] = plain(interval) | {'p': p}
  for entry, adjusted in zip(
    result.values(), holm([entry['p'] for entry in result.values()]), strict=True
  ):
    entry['holm'] = adjusted
  return result
