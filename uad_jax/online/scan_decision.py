"""Component masses of a scan and their p-values against healthy scans."""

from typing import NamedTuple

import numpy as np

from uad_jax.evaluation.component_masses import measured
from uad_jax.online import conformal
from uad_jax.online.extreme_values import Spot, alarm_threshold, start, update
from uad_jax.online.generalised_pareto import Pareto
from uad_jax.online.stream_settings import FEWEST, Settings

Array = np.ndarray

LEAST = 1e-9
"""Smallest p-value of a fitted tail, which may end at a finite score."""


class Marks(NamedTuple):
  """Connected components of a filtered anomaly map.

  Attributes:
    labels: Label of each voxel, from 1, 0 for none, int32 [*S].
    masses: Sum of (score - threshold) over the voxels of each, float64 [N].
  """

  labels: Array
  masses: Array


class Calibration(NamedTuple):
  """Largest component masses of healthy scans.

  Attributes:
    scores: Scores of the source, then of scans learnt from the stream, float64 [n].
    healthy: Number of scans of the source.
    spot: Tail fitted to the first scores; None where there are enough of them.
  """

  scores: Array
  healthy: int
  spot: Spot | None


def marks(anomaly: Array, mask: Array, threshold: float) -> Marks:
  """Measures the components of the brain voxels at or above a threshold."""
  above = (anomaly >= threshold) & (mask > 0)
  labels, masses = measured(anomaly, above, threshold, 1.0)
  return Marks(labels.astype(np.int32, copy=False), masses)


def largest(masses: Array) -> float:
  """Returns the mass of the largest component, 0 if there is none."""
  return float(masses.max(initial=0))


def calibrated(scores: Array, settings: Settings) -> Calibration:
  """Makes the calibration of a stream from the scores of healthy scans."""
  spot = None
  if len(scores) < FEWEST:
    spot = start(scores, settings.alpha, settings.tail_level, settings.depth)
  return Calibration(scores, len(scores), spot)


def grow(calibration: Calibration, score: float, settings: Settings) -> Calibration:
  """Adds the score of a learnt scan to the calibration, unless it is frozen.

  Of the stream's scores the newest `Settings.capacity` are kept; SPOT learns from the
  score as `extreme_values.update` does.
  """
  if settings.guards.frozen:
    return calibration
  scores, healthy, spot = calibration
  stream = np.append(scores[healthy:], score)[-settings.capacity :]
  if spot is not None:
    spot, _ = update(spot, score)
  return Calibration(np.append(scores[:healthy], stream), healthy, spot)


def p_values(calibration: Calibration, masses: Array, recency: float) -> Array:
  """Computes p-values of component masses against the largest of each healthy scan.

  Conformal p-values (`conformal.p_values`), so that the error rate holds for all
  components of a scan together; weighted by (1 - recency)^k for the score before the k
  latest ones. With fewer than 100 healthy scans a small p-value would be impossible;
  above the threshold of SPOT it is the conformal p-value of the threshold times the
  probability of the excess under the fitted tail.

  Args:
    calibration: Largest masses of healthy scans.
    masses: Component masses [N].
    recency: Loss of weight with each later score, in [0, 1).

  Returns:
    p-values, float64 [N], in (0, 1].
  """
  if not len(masses):
    return np.ones(0)
  ages = np.maximum(np.arange(len(calibration.scores))[::-1], 0)
  ages[: calibration.healthy] = len(calibration.scores) - calibration.healthy
  weights = (1 - recency) ** ages

  def ranked(scores: Array) -> Array:
    ones = np.ones(len(scores))
    return conformal.weighted_p_values(calibration.scores, weights, scores, ones)

  spot = calibration.spot
  if spot is None or len(calibration.scores) >= FEWEST:
    return ranked(masses)
  begins = alarm_threshold(spot) - spot.alarm + spot.threshold
  beyond = np.nextafter(begins, np.inf)  # scores at the threshold are no excesses
  tail = tail_chance(Pareto(spot.shape, spot.scale), np.maximum(masses - begins, 0))
  fitted = ranked(np.array([beyond])) * np.maximum(tail, LEAST)
  return np.where(masses > begins, fitted, ranked(masses))


def tail_chance(tail: Pareto, excesses: Array) -> Array:
  """Computes the probability (1 + shape y / scale)^(-1 / shape) of larger excesses.

  >>> tail_chance(Pareto(0.5, 1.0), np.array([0.0, 2.0])).tolist()
  [1.0, 0.25]

  Args:
    tail: Distribution of the excesses.
    excesses: Excesses y [N], 0 or more.

  Returns:
    Probabilities [N]; 0 beyond the end of the distribution.
  """
  scaled = excesses / tail.scale
  if tail.shape == 0:
    return np.exp(-scaled)
  return np.maximum(1 + tail.shape * scaled, 0) ** (-1 / tail.shape)
