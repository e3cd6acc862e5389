"""Functions that build histograms of anomaly scores and compute AUPRC, AUROC and Dice.

A histogram needs no fixed range, and those of many scans can be added up. A float32
score is mapped to an integer of the same order through its bit pattern: the sign, the
exponent and the first 11 bits of the mantissa give 2^20 bins, each narrower than 0.05 %
of its value, whatever the scale of the scores. Probabilities above 1 - 2^-12 (log-odds
of 8.3) share one bin; where such voxels are to be ranked, score by the log-odds. Memory
depends on the number of occupied bins and not on the number of voxels.

`ranking` and `precision_recall` take voxel counts `healthy` and `lesion`, [..., K] over
K bins of ascending score; a voxel is called anomalous if its score is at least the
lower edge of a bin.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

BITS = 20
_SHIFT = 32 - BITS
_SIGN = np.uint32(0x80000000)
_CHUNK = 1 << 22


class Histogram(NamedTuple):
  """Numbers of healthy and of lesion voxels in each bin of the anomaly score.

  Only occupied bins are stored.

  Attributes:
    codes: [K] indices of the occupied bins, ascending.
    healthy: [K] counts of healthy voxels.
    lesion: [K] counts of lesion voxels.
  """

  codes: np.ndarray
  healthy: np.ndarray
  lesion: np.ndarray


def encode(scores: np.ndarray) -> np.ndarray:
  """Computes the index of the histogram bin into which each score falls.

  An index is an integer in [0, 2^20). Higher scores have equal or higher indices.
  """
  # Adding zero turns -0 into +0, which compares equal but has other bits.
  bits = (np.asarray(scores, np.float32) + np.float32(0)).view(np.uint32)
  ordered = np.where(bits & _SIGN, ~bits, bits | _SIGN)
  return ordered >> np.uint32(_SHIFT)


def lower_edge(codes: np.ndarray) -> np.ndarray:
  """Returns the smallest float32 score that falls into each of the given bins.

  A score is at least `lower_edge(c)` exactly if its bin index is at least c.

  Args:
    codes: Indices of the bins, as `encode` returns them.
  """
  ordered = np.asarray(codes).astype(np.uint32) << np.uint32(_SHIFT)
  negative = (ordered & _SIGN) == 0
  # Also the smallest of a negative bin: ~ reverses the order of negative bit patterns.
  return (
    np.where(negative, ~ordered, ordered & ~_SIGN).astype(np.uint32).view(np.float32)
  )


def histogram(scores: np.ndarray, lesion: np.ndarray) -> Histogram:
  """Counts healthy voxels and lesion voxels by bin of their anomaly score.

  Args:
    scores: Anomaly scores, any shape, finite.
    lesion: Lesion mask of the same shape, 0 or 1.

  Raises:
    ValueError: A score is not finite.
  """
  scores, lesion = np.ravel(scores), np.ravel(lesion)
  size = 1 << BITS
  counts = np.zeros(2 * size, np.int64)
  for start in range(0, scores.size, _CHUNK):
    chunk = scores[start : start + _CHUNK]
    if not np.isfinite(chunk).all():
      raise ValueError(
        f'{np.sum(~np.isfinite(chunk))} of {chunk.size} anomaly scores are not finite'
      )
    marked = lesion[start : start + _CHUNK] > 0
    counts += np.bincount(encode(chunk) + marked * np.uint32(size), minlength=2 * size)
  healthy, sick = counts[:size], counts[size:]
  codes = np.flatnonzero(healthy + sick)
  return Histogram(codes, healthy[codes], sick[codes])


def pool(histograms: Iterable[Histogram]) -> Histogram:
  """Adds up the histograms of several scans into one histogram of all their voxels."""
  counts = np.zeros((2, 1 << BITS), np.int64)
  for part in histograms:
    counts[0, part.codes] += part.healthy
    counts[1, part.codes] += part.lesion
  codes = np.flatnonzero(counts.sum(0))
  return Histogram(codes, *counts[:, codes])


def threshold_at(pooled: Histogram, fpr: float) -> float:
  """Returns the lowest score threshold with a false positive rate of at most `fpr`.

  The false positive rate is the share of healthy voxels that reach the threshold.

  Args:
    pooled: Pooled histogram of the healthy scans on which the threshold is set.
    fpr: Allowed share of the healthy voxels, in [0, 1].

  Raises:
    ValueError: The histogram holds no healthy voxel.
  """
  above = np.cumsum(pooled.healthy[::-1])[::-1]
  if above.size == 0 or above[0] == 0:
    raise ValueError('a threshold needs healthy voxels; the histogram holds none')
  allowed = above <= fpr * above[0]
  # Above the last occupied bin when even its voxels are too many (ties at the top).
  code = pooled.codes[np.argmax(allowed)] if allowed.any() else pooled.codes[-1] + 1
  return float(lower_edge(code))


def cumulative(counts: np.ndarray) -> np.ndarray:
  """Counts the voxels in or above each histogram bin, from the highest bin down.

  The k-th sum is the number of voxels in the k highest bins.

  Args:
    counts: [..., K] numbers of voxels by bin of ascending score.

  Returns:
    [..., K] sums.
  """
  return np.cumsum(counts[..., ::-1], -1)


class Ranking(NamedTuple):
  """Metrics of how well anomaly scores separate lesion voxels from healthy voxels.

  All are nan without lesion voxels.

  Attributes:
    auprc: Area under the precision-recall curve, sum_k (R_k - R_{k-1}) P_k over the
      distinct thresholds, as scikit-learn's average_precision_score: ties share one
      threshold, and a constant score gives the prevalence.
    auroc: Probability that a lesion voxel scores above a healthy one, ties count half.
    oracle_dice: Best 2 TP / (2 TP + FP + FN) over all thresholds; an upper bound,
      because the threshold is chosen with the truth.
  """

  auprc: np.ndarray
  auroc: np.ndarray
  oracle_dice: np.ndarray


def ranking(healthy: np.ndarray, lesion: np.ndarray) -> Ranking:
  """Computes AUPRC, AUROC and oracle Dice from the voxel counts of a histogram.

  Oracle Dice is the best Dice over all thresholds.

  Args:
    healthy: [..., K] counts of healthy voxels, bins of ascending score.
    lesion: [..., K] counts of lesion voxels in the same bins.

  Returns:
    Metrics of shape [...].
  """
  hits, false = cumulative(lesion), cumulative(healthy)
  positives, negatives = hits[..., -1:], false[..., -1:]
  marked, sick = hits + false, lesion[..., ::-1]
  with np.errstate(invalid='ignore', divide='ignore'):
    # Empty bins at the top have no precision, and no lesion to weight it with.
    precision = hits / np.maximum(marked, 1)
    pairs = np.float64(1) * positives * negatives
    below = negatives - false + healthy[..., ::-1] / 2
    dice = np.where(positives > 0, 2 * hits / (marked + positives), np.nan)
    return Ranking(
      np.sum(sick * precision, -1) / positives[..., 0],
      np.sum(sick * below, -1) / pairs[..., 0],
      dice.max(-1),
    )


def precision_recall(
  healthy: np.ndarray, lesion: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  """Computes the precision-recall curve from the voxel counts of a histogram.

  Args:
    healthy: [K] counts of healthy voxels, bins of ascending score.
    lesion: [K] counts of lesion voxels in the same bins.

  Returns:
    Precision and recall, [K] each; the thresholds are the lower edges of the bins, from
    the highest to the lowest.
  """
  hits, false = cumulative(lesion), cumulative(healthy)
  with np.errstate(invalid='ignore', divide='ignore'):
    return np.nan_to_num(hits / (hits + false), nan=1.0), hits / hits[..., -1:]
