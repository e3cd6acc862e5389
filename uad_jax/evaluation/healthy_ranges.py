"""Functions that measure ranges over healthy validation scans, to compare new scans.

The prediction warns if a new scan is far outside these ranges. It compares the
intensities of the scan before inference, and the share of the brain at or above the
threshold after inference. Entry 'healthy_validation' of results.json has the ranges:

  scans             number of healthy validation scans
  intensity.Q       [lowest, highest] Q % quantile of the intensities in a scan's brain
  marked.NAME.P     [mean, highest] share of a scan's brain at or above the threshold
                    that P % of all healthy voxels reach, by scorer NAME
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from uad_jax import parallel
from uad_jax.evaluation.histogram import Histogram, lower_edge, pool, threshold_at
from uad_jax.evaluation.measure import scan_histograms
from uad_jax.evaluation.metrics import FPR_PERCENT
from uad_jax.evaluation.postprocess import Postprocess
from uad_jax.evaluation.scans import Scan

QUANTILES = (25, 50, 75)
"""Quantiles of the intensities in per cent; the tails depend on the brain mask."""


def intensities(image: np.ndarray, brain: np.ndarray) -> list[float]:
  """Computes quantiles of the intensities in the brain, from the first channel only.

  Args:
    image: Image [X, Y, Z, C].
    brain: Brain mask, bool [X, Y, Z].

  Returns:
    The quantiles at the percentages in `QUANTILES`.
  """
  values = np.asarray(image[..., 0], np.float64)[brain]
  return [float(value) for value in np.percentile(values, QUANTILES)]


def share_above(scores: Histogram, threshold: float) -> float:
  """Computes the share of a scan's healthy voxels with scores at or above a threshold.

  Args:
    scores: Histogram of the anomaly scores in the scan.
    threshold: Anomaly score.

  Returns:
    Share in [0, 1]; 0 if the scan has no healthy voxel.
  """
  above = scores.healthy[lower_edge(scores.codes) >= np.float32(threshold)].sum()
  return float(above / max(scores.healthy.sum(), 1))


def describe(
  quantiles: Sequence[Sequence[float]],
  histograms: Mapping[str, Sequence[Histogram]],
  thresholds: Mapping[str, Mapping[int, float]],
) -> dict[str, Any]:
  """Computes the ranges of intensities and marked shares over healthy scans.

  Args:
    quantiles: For each scan, the result of `intensities`.
    histograms: For each scorer, the histogram of anomaly scores in each scan.
    thresholds: Thresholds by scorer and by percentage of healthy voxels above them.

  Returns:
    The entry 'healthy_validation' of results.json, see the module docstring.
  """
  ranges = {
    str(q): [float(min(values)), float(max(values))]
    for q, values in zip(QUANTILES, zip(*quantiles, strict=True), strict=False)
  }
  marked = {}
  for scorer, parts in histograms.items():
    marked[scorer] = {}
    for percent, threshold in thresholds[scorer].items():
      shares = [share_above(part, threshold) for part in parts]
      marked[scorer][str(percent)] = [float(np.mean(shares)), max(shares)]
  return {
    'scans': max(map(len, histograms.values())),
    'intensity': ranges,
    'marked': marked,
  }


def measure(
  scans: Iterable[Scan], scorers: Iterable[str], chain: Postprocess
) -> tuple[dict[str, dict[int, float]], dict[str, Any]]:
  """Sets the thresholds on healthy validation scans and measures their ranges.

  Args:
    scans: Healthy validation scans of this host, with anomaly maps.
    scorers: Names of the anomaly maps.
    chain: Post-processing of the maps.

  Returns:
    Thresholds by scorer and by percentage of healthy voxels above them; result of
    `describe` for the scans of all hosts.
  """
  quantiles = []

  def recorded():
    for scan in scans:
      brain = scan.arrays['mask'][..., 0] > 0
      quantiles.append(intensities(scan.arrays['image'], brain))
      yield scan

  histograms = scan_histograms(recorded(), scorers, chain)
  thresholds = {}
  for scorer, parts in histograms.items():
    pooled = pool(parts)
    thresholds[scorer] = {p: threshold_at(pooled, p / 100) for p in FPR_PERCENT}
  everywhere = sum(parallel.gather(quantiles), [])
  return thresholds, describe(everywhere, histograms, thresholds)
