"""First state of a stream, measured on healthy validation scans of the source."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from uad_jax.online import background_mixture, residual_memory
from uad_jax.online import voxel_tracking as vt
from uad_jax.online.recurrence_filter import (
  Description,
  Patterns,
  Reference,
  described,
  standardised,
)
from uad_jax.online.residual_descriptors import cells_of, components_of, scale_of
from uad_jax.online.scan_decision import Calibration, calibrated, largest, marks
from uad_jax.online.scan_maps import Maps, checked
from uad_jax.online.shadow_lesions import Shadow, centres_of, planted
from uad_jax.online.stream_settings import Settings
from uad_jax.ops.coreset import k_centre

Array = np.ndarray

LEAST_SCANS = 5
"""Smallest number of healthy scans beside those of the shadow test."""


class Start(NamedTuple):
  """Measurements on healthy scans.

  Attributes:
    reference: Constants of the healthy scans.
    patterns: Patterns of the healthy scans.
    calibration: Largest component masses of the healthy scans.
    shadows: Healthy scans with synthetic lesions.
  """

  reference: Reference
  patterns: Patterns
  calibration: Calibration
  shadows: tuple[Shadow, ...]


def describe(maps: Maps, reference: Reference, settings: Settings) -> Description:
  """Describes the residuals of a scan by cells and components."""
  cells = cells_of(*maps, reference.described_at, settings.cell)
  return described(
    cells, components_of(*maps, reference.described_at), reference, settings
  )


def measure(healthy: Sequence[Maps], settings: Settings) -> Start:
  """Measures thresholds, scales, patterns and scores of healthy scans.

  With `Settings.voxels` each healthy map is standardised by the moments of the others,
  so that threshold and scores hold for new scans. The first `Settings.shadow_scans`
  scans serve the shadow test; patterns and moments come from the others, as the test
  would else favour the first state.

  Args:
    healthy: Maps of healthy validation scans that were not trained on, on one grid; one
      a subject, as leaving a scan out would else keep its subject.
    settings: Settings of the stream.

  Returns:
    First state of the stream.

  Raises:
    ValueError: There are fewer than 5 scans beside those of the shadow test, maps do
      not fit, the scans share too few brain voxels, or their scores do not vary.
  """
  if len(healthy) < (fewest := LEAST_SCANS + settings.shadow_scans):
    raise ValueError(
      f'there are {len(healthy)} healthy scans; allowed are {fewest} or more'
    )
  shape = np.shape(healthy[0].anomaly)
  healthy = [checked(maps, shape) for maps in healthy]
  learnt = healthy[settings.shadow_scans :]
  moments = moments_of(learnt) if settings.voxels else None
  reference = _reference(healthy, moments, settings)
  descriptions = [describe(maps, reference, settings) for maps in learnt]
  background = reference.background
  for one in descriptions:
    background = background_mixture.update(
      background, one.cells, one.observed, settings.rule
    )
  reference = reference._replace(background=background)
  memory = _memory(np.concatenate([one.vectors for one in descriptions]), settings)
  cleaned = _cleaned(healthy, moments, reference, settings)
  inside = np.concatenate(
    [one[maps.mask > 0] for one, maps in zip(cleaned, healthy, strict=True)]
  )
  reference = reference._replace(
    threshold=float(np.quantile(inside, 1 - settings.share)),
    base=float(np.median(inside)),
  )
  scores = [
    largest(marks(one, maps.mask, reference.threshold).masses)
    for one, maps in zip(cleaned, healthy, strict=True)
  ]
  return Start(
    reference,
    Patterns(background, memory, reference.moments),
    calibrated(np.array(scores), settings),
    shadows_of(healthy, reference, settings),
  )


def moments_of(healthy: Sequence[Maps]) -> vt.Moments:
  """Computes the exact moments of each voxel over the healthy anomaly maps."""
  moments = vt.empty(healthy[0].anomaly.shape)
  for maps in healthy:
    moments = vt.observe(moments, maps.anomaly, maps.mask)
  return moments


def without(moments: vt.Moments, maps: Maps) -> vt.Moments:
  """Removes one scan from exact moments, the inverse of `voxel_tracking.observe`.

  W = W' - w, mean = mean' - w / W (r - mean'), M = M' - w (r - mean) (r - mean').

  Args:
    moments: Moments over scans that include this one.
    maps: Maps of the scan.
  """
  weight = moments.weight - maps.mask
  share = np.divide(maps.mask, weight, out=np.zeros_like(weight), where=weight > 0)
  deviation = maps.anomaly - moments.mean
  mean = moments.mean - share * deviation
  square = moments.square - maps.mask * deviation * (maps.anomaly - mean)
  return vt.Moments(weight, mean, np.where(weight > 0, np.maximum(square, 0), 0))


def shadows_of(
  healthy: Sequence[Maps], reference: Reference, settings: Settings
) -> tuple[Shadow, ...]:
  """Plants synthetic lesions into the first healthy scans.

  Their height is `Settings.shadow_height` times the root mean square of the healthy
  residuals, and the standard deviation of the healthy anomaly maps.
  """
  rng = np.random.default_rng(settings.seed)
  chosen = healthy[: settings.shadow_scans]
  brain = np.all([maps.mask > 0 for maps in chosen], 0)
  centres = centres_of(brain, len(chosen), settings.shadow_lesions, rng)
  inside = [
    (maps.residual[maps.mask > 0], maps.anomaly[maps.mask > 0]) for maps in chosen
  ]
  residuals, anomalies = map(np.concatenate, zip(*inside, strict=True))
  spreads = np.sqrt(np.mean(residuals**2)), np.std(anomalies)
  heights = [settings.shadow_height * float(spread) for spread in spreads]
  shadows = []
  for maps, places in zip(chosen, centres, strict=True):
    sick, lesion = planted(maps, places, settings.shadow_radius, heights)
    description = describe(sick, reference, settings)
    shadows.append(Shadow(sick.anomaly, sick.mask > 0, lesion, description))
  return tuple(shadows)


def _reference(
  healthy: Sequence[Maps], moments: vt.Moments | None, settings: Settings
) -> Reference:
  """Scales and constants of healthy scans; threshold, base and mixture come later."""
  inside = np.concatenate([maps.anomaly[maps.mask > 0] for maps in healthy])
  at = float(np.quantile(inside, 1 - settings.share))
  cells = [cells_of(*maps, at, settings.cell) for maps in healthy]
  parts = [components_of(*maps, at).descriptors for maps in healthy]
  observed = np.concatenate([one.descriptors[one.brain >= 0.5] for one in cells])
  grid, values = cells[0].brain.shape, observed.shape[-1]
  tracked, epsilon = None, 0.0
  if moments is not None:
    tracked = _tracked(moments)
    variance = vt.variance(moments)[moments.weight > 0]
    epsilon = settings.floor * float(variance.mean(dtype=np.float64))
  return Reference(
    scale_of(observed),
    scale_of(np.concatenate(parts)),
    at,
    at,
    0.0,
    epsilon,
    background_mixture.empty(grid, settings.kinds, values),
    tracked,
  )


def _cleaned(
  healthy: Sequence[Maps],
  moments: vt.Moments | None,
  reference: Reference,
  settings: Settings,
) -> list[Array]:
  """Healthy maps, each standardised by the moments of others where these are on."""
  cleaned = []
  for number, maps in enumerate(healthy):
    tracked = reference.moments
    if moments is not None and number >= settings.shadow_scans:
      tracked = _tracked(without(moments, maps))
    cleaned.append(standardised(maps.anomaly, maps.mask, tracked, reference.epsilon))
  return cleaned


def _tracked(moments: vt.Moments) -> vt.ExponentialMoments:
  """First exponential moments of a stream from exact ones of healthy scans."""
  return vt.exponential(vt.start(moments, 1.0))


def _memory(vectors: Array, settings: Settings) -> residual_memory.Memory:
  """Memory bank of the components of healthy scans, thinned to half the capacity."""
  slots = settings.capacity // 2
  chosen = k_centre(vectors, slots, vectors[:0], settings.radius).chosen
  guards = settings.guards
  return residual_memory.begin(
    vectors[chosen], settings.capacity, guards.subjects, guards.frozen
  )
