"""Synthetic lesions in healthy maps, on which a stream tests each of its updates."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from uad_jax.evaluation import histogram
from uad_jax.online.recurrence_filter import Description
from uad_jax.online.scan_maps import Maps
from uad_jax.ops.coreset import k_centre

Array = np.ndarray

CANDIDATES = 2000
"""Brain voxels from which the centres of lesions are chosen."""


class Shadow(NamedTuple):
  """One healthy scan with synthetic lesions.

  Attributes:
    anomaly: Anomaly map with the lesions, float32 [*S].
    mask: Brain mask, bool [*S].
    lesion: Lesion mask, bool [*S].
    description: Descriptors of the scan, lesions included.
  """

  anomaly: Array
  mask: Array
  lesion: Array
  description: Description


def centres_of(
  brain: Array, scans: int, lesions: int, rng: np.random.Generator
) -> Array:
  """Chooses centres of lesions that cover the brain evenly.

  The first is a random brain voxel, each further one the farthest from all before
  (`coreset.k_centre`); scans take turns, so that each gets lesions all over the brain.

  Args:
    brain: Voxels that belong to the brain in all scans, bool [*S].
    scans: Number of scans.
    lesions: Number of lesions in each.
    rng: Generator of the draws.

  Returns:
    Centres in voxels, int64 [scans, lesions, d].

  Raises:
    ValueError: The brain has fewer voxels than there are lesions.
  """
  voxels = np.argwhere(brain)
  if len(voxels) < (number := scans * lesions):
    raise ValueError(
      f'the scans share {len(voxels)} brain voxels; allowed are {number} or more, one '
      'for each synthetic lesion'
    )
  some = rng.permutation(len(voxels))[: max(CANDIDATES, number)]
  chosen = k_centre(voxels[some], number, np.zeros((0, brain.ndim))).chosen
  return voxels[some][chosen].reshape(lesions, scans, -1).swapaxes(0, 1)


def planted(
  maps: Maps, centres: Array, radius: float, heights: Sequence[float]
) -> tuple[Maps, Array]:
  """Adds balls of constant height to the maps of a scan.

  Every second ball is negative in the residual; all are positive in the anomaly map.

  Args:
    maps: Maps of a healthy scan.
    centres: Centres in voxels [L, d].
    radius: Radius in voxels.
    heights: Height in the residual and in the anomaly map.

  Returns:
    The maps with lesions, and the lesion mask, bool [*S].
  """
  axes = np.indices(maps.mask.shape)
  balls = [
    ((axes - centre.reshape(-1, *[1] * maps.mask.ndim)) ** 2).sum(0) <= radius**2
    for centre in centres
  ]
  signs = [1 - 2 * (number % 2) for number in range(len(balls))]
  brain = maps.mask > 0
  lesion = brain & np.any(balls, 0)
  signed = sum(sign * ball for sign, ball in zip(signs, balls, strict=True))
  step = np.float32(heights[0]) * np.sign(signed) * brain
  residual = maps.residual + step.astype(np.float32)
  anomaly = maps.anomaly + np.float32(heights[1]) * lesion
  return maps._replace(residual=residual, anomaly=anomaly), lesion


def precision_of(shadows: Sequence[Shadow], score: Callable[[Shadow], Array]) -> float:
  """Computes the average precision (AUPRC) over the brain voxels of all shadow scans.

  Args:
    shadows: Scans with synthetic lesions.
    score: Function (shadow scan) -> filtered anomaly map [*S].
  """
  scores, lesion = [], []
  for shadow in shadows:
    scores.append(score(shadow)[shadow.mask])
    lesion.append(shadow.lesion[shadow.mask])
  counts = histogram.histogram(np.concatenate(scores), np.concatenate(lesion))
  return float(histogram.ranking(counts.healthy, counts.lesion).auprc)
