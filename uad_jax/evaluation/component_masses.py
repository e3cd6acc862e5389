"""Functions that measure the mass of detected components in the anomaly map of a scan.

The mass of a component is the sum over its voxels of (score - threshold) times the
volume of a voxel in ml, so that both extent and height count. In fMRI it is known as
the mass of a cluster (Bullmore et al. 1999, IEEE TMI 18). The largest mass of each
healthy scan calibrates the decision of `prediction.decision`.
"""

from collections.abc import Mapping
from typing import BinaryIO, NamedTuple

import numpy as np

from uad_jax.evaluation.lesionwise import components
from uad_jax.evaluation.measure import detected
from uad_jax.evaluation.postprocess import Postprocess


class Components(NamedTuple):
  """Connected components of a detection, with their masses.

  Attributes:
    labels: Component of each voxel, from 1; 0 outside. [X, Y, Z].
    masses: Mass of each component, in score times ml [number].
  """

  labels: np.ndarray
  masses: np.ndarray


def measured(
  scores: np.ndarray, marked: np.ndarray, threshold: float, voxel_ml: float
) -> Components:
  """Computes the components of a detection (26-connectivity) and their masses.

  Args:
    scores: Post-processed anomaly map [X, Y, Z].
    marked: Detection at the threshold after the clean-up, bool [X, Y, Z].
    threshold: Lowest score of a detected voxel.
    voxel_ml: Volume of a voxel, ml.
  """
  labels, number = components(marked)
  excess = np.asarray(scores[marked], np.float64) - threshold
  masses = np.bincount(labels[marked], excess, minlength=number + 1)[1:]
  return Components(labels, masses * voxel_ml)


def largest(
  scores: np.ndarray,
  brain: np.ndarray,
  thresholds: Mapping[int, float],
  chain: Postprocess,
  voxel_ml: float,
) -> dict[int, float]:
  """Computes the largest component mass of a scan at each threshold.

  Args:
    scores: Post-processed anomaly map [X, Y, Z].
    brain: Brain mask, bool [X, Y, Z].
    thresholds: Thresholds by percentage of healthy voxels above them.
    chain: Post-processing, for the detections.
    voxel_ml: Volume of a voxel, ml.

  Returns:
    Masses by the percentage of the threshold; 0 without a component.
  """
  masses = {}
  for percent, threshold in thresholds.items():
    marked = detected(scores, brain, threshold, chain)
    every = measured(scores, marked, threshold, voxel_ml).masses
    masses[percent] = float(max(every, default=0.0))
  return masses


def recording(chain: Postprocess, file: BinaryIO) -> Postprocess:
  """Returns a post-processing that also writes each anomaly map to a file.

  The thresholds are known only after all scans; the maps of many scans need more room
  than there may be memory. `read_map` reads them in the order of their processing.

  Args:
    chain: Post-processing.
    file: File for brain masks and scores.
  """

  def soft(scores: np.ndarray, brain: np.ndarray) -> np.ndarray:
    smoothed = chain.soft(scores, brain)
    np.save(file, brain)
    np.save(file, smoothed[brain])
    return smoothed

  return chain._replace(soft=soft)


def read_map(file: BinaryIO) -> tuple[np.ndarray, np.ndarray]:
  """Reads the next anomaly map that `recording` wrote.

  Args:
    file: File at the start of a map.

  Returns:
    Post-processed anomaly map, -inf outside of the brain, and brain mask [X, Y, Z].
  """
  brain = np.load(file)
  scores = np.full(brain.shape, -np.inf, np.float32)
  scores[brain] = np.load(file)
  return scores, brain
