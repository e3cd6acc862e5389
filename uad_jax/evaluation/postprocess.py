"""What is done to an anomaly map, and to the mask that a threshold makes of it.

All functions take one scan, [X, Y, Z], slices stacked along the last axis. Voxels that
a step takes out of play get the map's lowest score inside the brain: zero would not be
low for a map with a sign. Published numbers depend on these steps, so the preset's name
is part of every result.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from uad_jax.evaluation.lesionwise import components


class Postprocess(NamedTuple):
  """A chain. `soft`: (map, brain mask) -> map; `hard`: (binary) -> binary."""

  soft: Callable[[np.ndarray, np.ndarray], np.ndarray]
  hard: Callable[[np.ndarray], np.ndarray]


def inside(scores: np.ndarray, mask: np.ndarray) -> np.ndarray:
  """The map with its lowest score inside the mask put outside."""
  if not mask.any():
    return scores
  return np.where(mask, scores, scores[mask].min())


def median(scores: np.ndarray, mask: np.ndarray, size: int = 3) -> np.ndarray:
  """The median over a cube of `size` voxels (5 in Baur et al. 2021)."""
  return ndimage.median_filter(inside(scores, mask), size)


def erode(scores: np.ndarray, mask: np.ndarray, steps: int = 1) -> np.ndarray:
  """Takes the outermost `steps` voxels of the brain in each slice out of play.

  In the plane only: a stack of slices ends where the slices end and not the brain.
  """
  plane = ndimage.generate_binary_structure(2, 1)[..., None]
  inner = ndimage.binary_erosion(mask, plane, steps)
  return np.where(inner, scores, inside(scores, mask).min())


def remove_small(binary: np.ndarray, voxels: int) -> np.ndarray:
  """Drops connected parts of fewer than `voxels` voxels."""
  labels, number = components(binary)
  keep = np.bincount(labels.ravel(), minlength=number + 1) >= voxels
  keep[0] = False
  return keep[labels]


PRESETS = {
  'none': Postprocess(inside, lambda binary: binary),
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
  """The chain of that name.

  Raises:
    ValueError: There is none.
  """
  if name not in PRESETS:
    raise ValueError(
      f"no post-processing is called '{name}'; there are {', '.join(PRESETS)}"
    )
  return PRESETS[name]
