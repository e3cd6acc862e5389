"""The numbers of one scan and one anomaly map."""

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
"""The prefix of a scorer's map among a scan's arrays."""


class Measured(NamedTuple):
  """One test scan and scorer."""

  histogram: Histogram
  counts: dict[str, float]
  values: dict[str, float]


def scored(
  scan: Scan, scorer: str, chain: Postprocess
) -> tuple[np.ndarray, np.ndarray]:
  """The post-processed map and the brain mask, [X, Y, Z].

  Raises:
    ValueError: The map is not finite inside the brain.
  """
  scores = np.asarray(scan.arrays[MAP + scorer][..., 0], np.float32)
  brain = scan.arrays['mask'][..., 0] > 0
  if not np.isfinite(scores[brain]).all():
    raise ValueError(
      f"scorer '{scorer}' gave scan '{scan.name}' a map that is not finite in "
      f'{np.sum(~np.isfinite(scores[brain]))} of {brain.sum()} brain voxels'
    )
  return chain.soft(scores, brain), brain


def pooled_histograms(
  scans: Iterable[Scan], scorers: Iterable[str], chain: Postprocess
) -> dict[str, Histogram]:
  """By scorer, the histogram of the brain voxels of all scans of all hosts."""
  parts = {scorer: [] for scorer in scorers}
  for scan in scans:
    for scorer, histograms in parts.items():
      scores, brain = scored(scan, scorer, chain)
      histograms.append(
        histogram.histogram(scores[brain], lesion_in(scan.arrays)[brain])
      )
  hosts = parallel.gather(parts)
  return {
    scorer: histogram.pool(part for host in hosts for part in host[scorer])
    for scorer in parts
  }


def detected(
  scores: np.ndarray, brain: np.ndarray, threshold: float, chain: Postprocess
) -> np.ndarray:
  """What the threshold marks, after the chain's clean-up, bool [X, Y, Z]."""
  return chain.hard((scores >= threshold) & brain)


def measure(
  scores: np.ndarray,
  brain: np.ndarray,
  chain: Postprocess,
  thresholds: Mapping[int, float],
  lesions: lesionwise.Lesions,
) -> Measured:
  """A scan's histogram, counts at each threshold, and values of its own.

  Args:
    scores: The post-processed map, [X, Y, Z].
    brain: The brain mask, [X, Y, Z].
    chain: Gives the clean-up of detections.
    thresholds: By percentage of healthy validation voxels.
    lesions: The scan's lesions.
  """
  inside, truth = scores[brain], lesions.mask[brain]
  found = histogram.histogram(inside, truth)
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
    **histogram.ranking(found.healthy, found.lesion)._asdict(),
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
  return Measured(found, counts, values)
