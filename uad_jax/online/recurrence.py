"""Recurrence filter: suppresses an anomaly map where its residuals recur over subjects.

A residual pattern that many distinct subjects show at the same place belongs to the
model or the scanner; a lesion does not recur. The recurrence of a cell or a component,
in [0, 1], comes from a background mixture, a memory bank or the density of an online
mixture; the suppression factor of its voxels is 1 - recurrence.
"""

from collections.abc import Sequence

import numpy as np

from uad_jax.online.array_checks import check_finite, check_map
from uad_jax.online.background_mixture import Background, usual
from uad_jax.online.background_mixture import Rule as BackgroundRule
from uad_jax.online.residual_memory import Memory, score
from uad_jax.ops.limits import check_number, check_whole

Array = np.ndarray


def cell_recurrence(
  state: Background, descriptors: Array, rule: BackgroundRule, subjects: int
) -> Array:
  """Returns 1 for cells whose descriptor is usual there for m subjects, otherwise 0.

  Args:
    state: Background mixtures, updated once by each subject.
    descriptors: Standard residual descriptors of the scan [*G, D].
    rule: Constants of the mixtures.
    subjects: m, from 1.

  Returns:
    Recurrence, float32 [*G].
  """
  return usual(state, descriptors, rule, subjects).astype(np.float32)


def component_recurrence(memory: Memory, vectors: Array, radius: float) -> Array:
  """Returns 1 for components near a trusted entry of the memory bank, falling to 0.

  With the distance h to the nearest trusted entry it is 1 - (h / radius)^2, at least 0:
  full at the entry itself, none from the radius on.

  Args:
    memory: Memory bank of vectors (position, descriptor), whose entries are trusted
      after m distinct subjects.
    vectors: Vectors of the scan's components [N, F], from
      `residual_descriptors.placed`.
    radius: Distance of two vectors up to which they are alike, above 0.

  Returns:
    Recurrence, float32 [N].

  Raises:
    ValueError: F differs, a value is not finite, or `radius` is not above 0.
  """
  check_number('radius', radius, 0, above=True)
  distance = np.minimum(score(memory, vectors) / radius, 1)
  return (1 - distance**2).astype(np.float32)


def density_recurrence(log_density: Array, low: float, high: float) -> Array:
  """Maps log densities to recurrence: 0 up to `low`, 1 from `high`, linear between.

  Args:
    log_density: Log densities of cells or components under an online mixture, of any
      shape; -inf is allowed.
    low: Log density of residuals that count as rare, such as the 1 % quantile over
      healthy scans.
    high: Log density of residuals that count as usual, above `low`.

  Returns:
    Recurrence, float32, in the shape of `log_density`.

  Raises:
    ValueError: `high` is not above `low`, or a log density is NaN.
  """
  check_number('low', low)
  check_number('high', high, low, above=True)
  if np.isnan(log_density).any():
    raise ValueError('log_density has NaN; allowed are numbers and -inf')
  return np.clip((log_density - low) / (high - low), 0, 1).astype(np.float32)


def cell_factor(recurrence: Array, shape: Sequence[int], cell: int) -> Array:
  """Spreads the suppression factors of cells over their voxels.

  Args:
    recurrence: Recurrence of each cell [*G] in [0, 1].
    shape: Shape *S of the scan.
    cell: Voxels of a cell along each axis.

  Returns:
    1 - recurrence of the voxel's cell, float32 [*S].

  Raises:
    ValueError: The cells do not cover that shape, or a recurrence is outside [0, 1].

  Examples:
    >>> cell_factor(np.array([0.0, 1.0]), (3,), 2).tolist()
    [1.0, 1.0, 0.0]
  """
  check_whole('cell', cell, 1)
  grid = tuple(-(-size // cell) for size in shape)
  factor = 1 - _checked(recurrence, grid)
  for axis in range(len(grid)):
    factor = np.repeat(factor, cell, axis)
  return factor[tuple(slice(size) for size in shape)]


def component_factor(labels: Array, recurrence: Array) -> Array:
  """Spreads the suppression factors of components over their voxels.

  Args:
    labels: Label of each voxel [*S], from 1; 0 for none.
    recurrence: Recurrence of each component [N] in [0, 1].

  Returns:
    1 - recurrence of the voxel's component, 1 outside of components, float32 [*S].

  Raises:
    ValueError: There are other labels than N, or a recurrence is outside [0, 1].
  """
  recurrence = _checked(recurrence, (int(labels.max(initial=0)),))
  return np.concatenate([np.ones(1, np.float32), 1 - recurrence])[labels]


def suppress(anomaly: Array, factor: Array, base: float = 0.0) -> Array:
  """Multiplies an anomaly map down towards its base.

  base + factor (anomaly - base) where the map is above the base; unchanged below, so
  that suppression never raises a score.

  Args:
    anomaly: Anomaly map [*S].
    factor: Suppression factor [*S] in [0, 1]; several factors are multiplied or their
      minimum taken before.
    base: Score of healthy tissue, such as the median over healthy scans; 0 for an
      absolute residual.

  Returns:
    The suppressed map, float32 [*S].

  Raises:
    ValueError: The shapes differ, a value is not finite, or a factor is outside [0, 1].
  """
  check_number('base', base)
  anomaly = check_map('anomaly', anomaly, np.shape(anomaly))
  factor = _checked(factor, anomaly.shape, 'factor')
  above = np.maximum(anomaly - np.float32(base), 0)
  return anomaly - (1 - factor) * above


def _checked(values: Array, shape: Sequence[int], name: str = 'recurrence') -> Array:
  """Values in [0, 1] of this shape, as float32."""
  values = np.asarray(values, np.float32)
  if values.shape != tuple(shape):
    raise ValueError(f'{name} has shape {values.shape}; allowed is {tuple(shape)}')
  check_finite(name, values)
  if values.min(initial=0) < 0 or values.max(initial=0) > 1:
    raise ValueError(
      f'{name} has values from {values.min():g} to {values.max():g}; allowed are 0 to 1'
    )
  return values
