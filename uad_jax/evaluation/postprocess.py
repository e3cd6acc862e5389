"""Functions that post-process anomaly maps and the binary detections made from them.

All functions take one scan, [X, Y, Z], with slices stacked along the last axis. Voxels
outside the (eroded) brain mask get the anomaly map's lowest score inside the brain
mask; zero would not be low for a map with a sign. Published numbers depend on these
steps, so the preset's name is part of every result.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from uad_jax.evaluation.lesionwise import components
from uad_jax.ops.choices import choose


class Postprocess(NamedTuple):
  """Pair of post-processing functions, for anomaly maps and for binary detections.

  Attributes:
    soft: Applied before the threshold: (anomaly map, brain mask) -> anomaly map.
    hard: Applied after the threshold: binary detection -> binary detection.
  """

  soft: Callable[[np.ndarray, np.ndarray], np.ndarray]
  hard: Callable[[np.ndarray], np.ndarray]


def fill_outside(scores: np.ndarray, mask: np.ndarray) -> np.ndarray:
  """Sets voxels outside the brain mask to the lowest anomaly score inside the mask."""
  if not mask.any():
    return scores
  return np.where(mask, scores, scores[mask].min())


def median(scores: np.ndarray, mask: np.ndarray, size: int = 3) -> np.ndarray:
  """Filters an anomaly map with a median filter.

  The filter is a cube of `size` voxels per side. Baur et al. (2021) use 5 voxels.
  Voxels outside the brain mask first get the lowest score inside it.
  """
  return ndimage.median_filter(fill_outside(scores, mask), size)


def erode(scores: np.ndarray, mask: np.ndarray, steps: int = 1) -> np.ndarray:
  """Suppresses the scores near the edge of the brain by eroding the brain mask.

  The mask is eroded by `steps` voxels; voxels outside the eroded mask get the lowest
  score inside the brain mask. Erosion is within slices: a stack of slices ends where
  the slices end and not where the brain ends.
  """
  plane = ndimage.generate_binary_structure(2, 1)[..., None]
  inner = ndimage.binary_erosion(mask, plane, steps)
  return np.where(inner, scores, fill_outside(scores, mask).min())


def remove_small(binary: np.ndarray, voxels: int) -> np.ndarray:
  """Removes components of fewer than `voxels` connected voxels from a detection."""
  labels, number = components(binary)
  keep = np.bincount(labels.ravel(), minlength=number + 1) >= voxels
  keep[0] = False
  return keep[labels]


PRESETS = {
  'none': Postprocess(fill_outside, lambda binary: binary),
  'median': Postprocess(median, lambda binary: binary),
  # Median of 3 voxels, then detections below 5 voxels (0.04 ml at 2 mm) are dropped.
  'default': Postprocess(median, lambda binary: remove_small(binary, 5)),
  # Baur et al. 2021 (Medical Image Analysis 69) at 128 x 128, as their program has it:
  # the brain eroded by 12 voxels, a median of 5x5x5, parts of up to 7 voxels dropped.
  'baur2021': Postprocess(
    lambda scores, mask: median(erode(scores, mask, 12), mask, 5),
    lambda binary: remove_small(binary, 8),
  ),
}


def preset(name: str) -> Postprocess:
  """Returns the post-processing preset of a given name, such as 'default'.

  Raises:
    ValueError: No preset has this name.
  """
  return choose('post-processing', name, PRESETS)
