"""Functions that compute score histograms, counts and metrics of single test scans."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

from uad_jax import parallel
from uad_jax.evaluation import histogram, lesionwise
from uad_jax.evaluation.histogram import Histogram
from uad_jax.evaluation.metrics import QUANTILE
from uad_jax.evaluation.postprocess import Postprocess
from uad_jax.evaluation.scans import Scan, lesion_in

MAP = 'map/'
"""Prefix of the names of anomaly maps among the arrays of a scan: 'map/SCORER'."""


class Measured(NamedTuple):
  """Score histogram, voxel counts and metrics of one anomaly map of a test scan.

  Attributes:
    histogram: Scores of the healthy and lesion voxels inside the brain mask.
    counts: Numbers that are summed over scans before a ratio is formed, by name.
    values: Numbers that are averaged over scans, by name.
  """

  histogram: Histogram
  counts: dict[str, float]
  values: dict[str, float]


def scored(
  scan: Scan, scorer: str, chain: Postprocess
) -> tuple[np.ndarray, np.ndarray]:
  """Post-processes one anomaly map of a scan and returns it with the brain mask.

  Args:
    scan: A scan with 'map/SCORER' and 'mask' among its arrays [X, Y, Z, C].
    scorer: Name of the scorer that computed the anomaly map.
    chain: Post-processing.

  Returns:
    Anomaly map, float32 [X, Y, Z], and brain mask, bool [X, Y, Z].

  Raises:
    ValueError: The anomaly map is not finite inside the brain mask.
  """
  scores = np.asarray(scan.arrays[MAP + scorer][..., 0], np.float32)
  brain = scan.arrays['mask'][..., 0] > 0
  if not np.isfinite(scores[brain]).all():
    raise ValueError(
      f"scorer '{scorer}' gave scan '{scan.name}' a map that is not finite in "
      f'{np.sum(~np.isfinite(scores[brain]))} of {brain.sum()} brain voxels'
    )
  return chain.soft(scores, brain), brain


def scan_histograms(
  scans: Iterable[Scan], scorers: Iterable[str], chain: Postprocess
) -> dict[str, list[Histogram]]:
  """Computes, for each scorer, the histogram of the anomaly scores in each scan.

  The result covers the scans of all hosts.

  Args:
    scans: Scans of this host, with anomaly maps.
    scorers: Names of the scorers.
    chain: Post-processing.

  Returns:
    For each scorer, one histogram for each scan.
  """
  parts = {scorer: [] for scorer in scorers}
  for scan in scans:
    for scorer, histograms in parts.items():
      scores, brain = scored(scan, scorer, chain)
      histograms.append(
        histogram.histogram(scores[brain], lesion_in(scan.arrays)[brain])
      )
  hosts = parallel.gather(parts)
  return {scorer: [part for host in hosts for part in host[scorer]] for scorer in parts}


def pooled_histograms(
  scans: Iterable[Scan], scorers: Iterable[str], chain: Postprocess
) -> dict[str, Histogram]:
  """Computes, for each scorer, one histogram of the anomaly scores in all scans.

  The arguments are those of `scan_histograms`.
  """
  return {
    scorer: histogram.pool(parts)
    for scorer, parts in scan_histograms(scans, scorers, chain).items()
  }


def detected(
  scores: np.ndarray, brain: np.ndarray, threshold: float, chain: Postprocess
) -> np.ndarray:
  """Thresholds an anomaly map inside the brain and post-processes the binary detection.

  Args:
    scores: Post-processed anomaly map [X, Y, Z].
    brain: Brain mask, bool [X, Y, Z].
    threshold: Lowest score that counts as anomalous.
    chain: Post-processing.

  Returns:
    Detection, bool [X, Y, Z].
  """
  return chain.hard((scores >= threshold) & brain)


def measure(
  scores: np.ndarray,
  brain: np.ndarray,
  chain: Postprocess,
  thresholds: Mapping[int, float],
  lesions: lesionwise.Lesions,
) -> Measured:
  """Computes score histogram, counts and metrics of one anomaly map of a test scan.

  Detected voxels and lesions are counted at each threshold.

  Args:
    scores: Post-processed anomaly map [X, Y, Z].
    brain: Brain mask, bool [X, Y, Z].
    chain: Post-processing, for the detections.
    thresholds: Thresholds by the percentage of healthy validation voxels that reach it.
    lesions: True lesions of the scan.
  """
  inside, truth = scores[brain], lesions.mask[brain]
  scores_by_bin = histogram.histogram(inside, truth)
  everything = lesions.by_size(np.ones(lesions.number, bool))
  counts = {
    'positives': truth.sum(),
    'negatives': np.sum(~truth),
    'lesions': lesions.number,
  } | {
    f'lesions {s}': n for s, n in zip(lesionwise.SIZE_NAMES, everything, strict=True)
  }
  values = {
    'score_mean': inside.mean(dtype=np.float64),
    'score_q99': np.quantile(inside, QUANTILE),
    **histogram.ranking(scores_by_bin.healthy, scores_by_bin.lesion)._asdict(),
  }
  for percent, threshold in thresholds.items():
    marked = detected(scores, brain, threshold, chain)
    hits, false = np.sum(marked & lesions.mask), np.sum(marked & ~lesions.mask)
    matched = lesions.match(marked)
    sizes = zip(lesionwise.SIZE_NAMES, lesions.by_size(matched['found']), strict=True)
    counts |= {
      f'tp_at_{percent}': hits,
      f'fp_at_{percent}': false,
      f'found_at_{percent}': matched['found'].sum(),
      f'predictions_at_{percent}': matched['predictions'],
      f'correct_at_{percent}': matched['correct'],
    } | {f'found_at_{percent} {size}': n for size, n in sizes}
    if truth.any():
      values[f'dice_at_{percent}'] = 2 * hits / (hits + false + truth.sum())
  return Measured(scores_by_bin, counts, values)
