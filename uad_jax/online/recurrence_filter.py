"""Recurrence filter of a stream: descriptions of scans, learnt patterns, filtered maps.

A pattern is suppressed if it recurs in the stream and the healthy source lacks it. What
is usual in the source is spared: threshold and calibration scores account for it.

Axes: *S voxels of a scan, *G cells, N components.
"""

from typing import NamedTuple

import numpy as np

from uad_jax.online import background_mixture, residual_memory, voxel_tracking
from uad_jax.online.background_mixture import Background
from uad_jax.online.recurrence import (
  cell_factor,
  cell_recurrence,
  component_factor,
  component_recurrence,
  suppress,
)
from uad_jax.online.residual_descriptors import (
  Cells,
  Components,
  Scale,
  placed,
  standard,
)
from uad_jax.online.residual_memory import Memory
from uad_jax.online.scan_maps import Maps
from uad_jax.online.stream_settings import Settings
from uad_jax.online.voxel_tracking import ExponentialMoments

Array = np.ndarray


class Description(NamedTuple):
  """Residual descriptors of one scan, in standard deviations of healthy scans.

  Attributes:
    cells: Descriptors of the cells, float32 [*G, 4].
    observed: Cells of which at least half lies in the brain, bool [*G].
    labels: Label of each voxel's component, from 1, 0 for none, int32 [*S].
    vectors: Positions and descriptors of the components, float64 [N, d + 4].
  """

  cells: Array
  observed: Array
  labels: Array
  vectors: Array


class Reference(NamedTuple):
  """Constants from healthy scans of the source; no update changes them.

  Attributes:
    cell_scale: Scale of the descriptors of cells.
    component_scale: Scale of the descriptors of components.
    described_at: Threshold of the unfiltered anomaly map, for descriptors.
    threshold: Threshold of the filtered map.
    base: Median of the filtered map, to which patterns are suppressed.
    epsilon: Variance added to that of each voxel.
    background: Background mixture of the healthy scans.
    moments: Moments of each voxel; None where `Settings.voxels` is off.
  """

  cell_scale: Scale
  component_scale: Scale
  described_at: float
  threshold: float
  base: float
  epsilon: float
  background: Background
  moments: ExponentialMoments | None


class Patterns(NamedTuple):
  """Patterns learnt from a stream.

  Attributes:
    background: Background mixture of the cells.
    memory: Memory bank of components.
    moments: Moments of each voxel; None where `Settings.voxels` is off.
  """

  background: Background
  memory: Memory
  moments: ExponentialMoments | None


def described(
  cells: Cells, components: Components, reference: Reference, settings: Settings
) -> Description:
  """Expresses the descriptors of a scan in the units of the healthy scans."""
  values = standard(components.descriptors, reference.component_scale)
  return Description(
    standard(cells.descriptors, reference.cell_scale),
    cells.brain >= 0.5,
    components.labels,
    placed(components.centres, values, settings.reach),
  )


def standardised(
  anomaly: Array, mask: Array, moments: ExponentialMoments | None, epsilon: float
) -> Array:
  """Standardises a map where moments are tracked, and levels its background.

  Args:
    anomaly: Anomaly map [*S].
    mask: Brain mask [*S], not empty.
    moments: Moments of each voxel; None leaves the brain as it is.
    epsilon: Variance added to that of each voxel.

  Returns:
    The map, float32 [*S]; outside of the brain it has its lowest score in the brain.
  """
  if moments is not None:
    anomaly = voxel_tracking.standardise(anomaly, *moments, epsilon)
  return np.where(mask > 0, anomaly, anomaly[mask > 0].min())


def filtered(
  anomaly: Array,
  mask: Array,
  description: Description,
  patterns: Patterns,
  reference: Reference,
  settings: Settings,
) -> Array:
  """Filters an anomaly map by the patterns learnt so far.

  The map is standardised and then multiplied down towards the healthy median where
  cells or components recur; each part if it is on.

  Args:
    anomaly: Anomaly map [*S].
    mask: Brain mask [*S].
    description: Descriptors of the scan.
    patterns: Patterns of the stream.
    reference: Constants of the healthy scans.
    settings: Settings of the stream.

  Returns:
    The filtered map, float32 [*S].
  """
  moments = patterns.moments
  if moments is not None and settings.guards.frozen:
    moments = voxel_tracking.anchored(reference.moments, moments, settings.anchor)
  anomaly = standardised(anomaly, mask, moments, reference.epsilon)
  factor = np.ones(anomaly.shape, np.float32)
  if settings.cells:
    recurring = _new_recurrence(description, patterns.background, reference, settings)
    factor = cell_factor(recurring, anomaly.shape, settings.cell)
  if settings.components and len(description.vectors):
    # Frozen entries are patterns of the healthy source.
    memory = patterns.memory
    memory = memory._replace(filled=memory.filled & ~memory.frozen)
    recurring = component_recurrence(memory, description.vectors, settings.radius)
    factor = np.minimum(factor, component_factor(description.labels, recurring))
  return suppress(anomaly, factor, reference.base)


def _new_recurrence(
  description: Description,
  background: Background,
  reference: Reference,
  settings: Settings,
) -> Array:
  """Recurrence [*G] of cells that match a usual pattern which the source lacks.

  Patterns of the source are recognised by their mean: they may widen by outliers, and
  what they come to match is no pattern of the stream.
  """
  rule, kinds = settings.rule, background.weight.shape[-1]
  known = [
    cell_recurrence(reference.background, background.mean[..., kind, :], rule, 1)
    for kind in range(kinds)
  ]
  votes = np.where(np.stack(known, -1) > 0, 0, background.votes)
  new = background._replace(votes=votes)
  return cell_recurrence(new, description.cells, rule, settings.guards.subjects)


def learn(
  patterns: Patterns,
  maps: Maps,
  description: Description,
  p_value: float,
  subject: int,
  settings: Settings,
  rng: np.random.Generator,
) -> Patterns:
  """Adds one scan to the patterns; parts that are off stay as they are.

  Args:
    patterns: Patterns so far.
    maps: Maps of the scan, as of `scan_maps.checked`.
    description: Descriptors of the scan.
    p_value: p-value of the scan, for the guard of the memory bank.
    subject: Code of the subject, `guards.subject_code`.
    settings: Settings of the stream.
    rng: Generator of the draws of the reservoir.

  Returns:
    The new patterns.
  """
  background, memory, moments = patterns
  if settings.cells:
    background = background_mixture.update(
      background, description.cells, description.observed, settings.rule
    )
  if settings.components:
    rule = residual_memory.Rule(
      settings.radius, settings.guards.p_above, settings.eviction
    )
    memory = residual_memory.learn(
      memory, description.vectors, np.float64(p_value), subject, rule, rng
    )
  if settings.voxels:
    moments = voxel_tracking.observe_exponential(
      moments, maps.anomaly, maps.mask, settings.voxel_rate
    )
  return Patterns(background, memory, moments)
