"""Residual descriptors of a scan: mean, sign, spread and size, by cell or component.

Axes: *S voxels of a scan, d their number (2 or 3), *G cells, N cells or components.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from uad_jax.evaluation.lesionwise import components
from uad_jax.online.array_checks import check_finite, check_map
from uad_jax.ops.limits import check_number, check_whole

Array = np.ndarray
VALUES = ('mean', 'sign', 'spread', 'size')
"""Values of a descriptor, in order: mean of the residual, mean of its sign (-1 to 1),
its standard deviation; the size is, of a cell, the share of the brain at or above the
threshold, and of a component the natural logarithm of its number of voxels."""


class Cells(NamedTuple):
  """Descriptors of a scan on a coarse grid.

  Attributes:
    descriptors: float32 [*G, 4], in the order of `VALUES`; 0 outside of the brain.
    brain: Share of each cell's voxels that lie in the brain, float32 [*G].
  """

  descriptors: Array
  brain: Array


class Components(NamedTuple):
  """Connected components of an anomaly map at or above a threshold.

  Attributes:
    labels: Label of each voxel, from 1, 0 for none, int32 [*S].
    centres: Centres of mass, in voxels, float64 [N, d].
    descriptors: float64 [N, 4], in the order of `VALUES`.
  """

  labels: Array
  centres: Array
  descriptors: Array


class Scale(NamedTuple):
  """Mean and standard deviation of descriptors of healthy scans.

  Attributes:
    mean: float64 [4].
    deviation: float64 [4], above 0.
  """

  mean: Array
  deviation: Array


def cells_of(
  residual: Array, anomaly: Array, mask: Array, threshold: float, cell: int
) -> Cells:
  """Describes the residual in cubes (squares) of `cell` voxels along each axis.

  Args:
    residual: Signed residual of the scan [*S].
    anomaly: Anomaly map [*S].
    mask: Brain mask [*S], 0 or 1.
    threshold: Threshold of the anomaly map, for the size.
    cell: Voxels of a cell along each axis; the last cells may be cut by the border.

  Returns:
    Descriptors and brain shares of ceil(S / cell) cells along each axis.

  Raises:
    ValueError: The shapes differ or a value is not finite.
  """
  check_whole('cell', cell, 1)
  residual, anomaly, mask = _checked(residual, anomaly, mask, threshold)
  count = _block_sum(mask, cell)
  per_voxel = 1 / np.maximum(count, 1)
  mean = _block_sum(mask * residual, cell) * per_voxel
  square = _block_sum(mask * residual**2, cell) * per_voxel
  values = [
    mean,
    _block_sum(mask * np.sign(residual), cell) * per_voxel,
    np.sqrt(np.maximum(square - mean**2, 0)),
    _block_sum(mask * (anomaly >= threshold), cell) * per_voxel,
  ]
  share = count / _block_sum(np.ones(mask.shape, bool), cell)
  return Cells(np.stack(values, -1).astype(np.float32), share.astype(np.float32))


def cell_centres(grid: Sequence[int], cell: int) -> Array:
  """Computes the centres of all cells in voxels, float64 [*G, d]."""
  axes = np.indices(tuple(grid), np.float64)
  return np.moveaxis(axes, 0, -1) * cell + (cell - 1) / 2


def components_of(
  residual: Array, anomaly: Array, mask: Array, threshold: float
) -> Components:
  """Describes each connected component of the voxels at or above a threshold.

  Args:
    residual: Signed residual of the scan [*S].
    anomaly: Anomaly map [*S].
    mask: Brain mask [*S], 0 or 1.
    threshold: Threshold of the anomaly map.

  Returns:
    Labels, centres and descriptors; N may be 0.

  Raises:
    ValueError: The shapes differ or a value is not finite.
  """
  residual, anomaly, mask = _checked(residual, anomaly, mask, threshold)
  labels, number = components((anomaly >= threshold) & (mask > 0))
  marked = np.nonzero(labels)
  label, value = labels[marked] - 1, residual[marked].astype(np.float64)
  voxels = np.bincount(label, minlength=number)

  def mean_of(values: Array) -> Array:
    return np.bincount(label, values, number) / voxels

  mean = mean_of(value)
  spread = np.sqrt(mean_of((value - mean[label]) ** 2))
  values = [mean, mean_of(np.sign(value)), spread, np.log(voxels)]
  centres = np.stack([mean_of(axis) for axis in marked], -1)
  return Components(labels.astype(np.int32), centres, np.stack(values, -1))


def scale_of(descriptors: Array, least: float = 1e-3) -> Scale:
  """Computes the mean and standard deviation of descriptors of healthy scans.

  Args:
    descriptors: [N, 4], of cells inside the brain or of components, N from 1.
    least: Smallest standard deviation, above 0.

  Returns:
    The scale.

  Raises:
    ValueError: There is no descriptor, or a value is not finite.
  """
  check_number('least', least, 0, above=True)
  if not len(descriptors):
    raise ValueError('descriptors: there are none; allowed are 1 or more')
  check_finite('descriptors', descriptors)
  values = np.asarray(descriptors, np.float64)
  return Scale(values.mean(0), np.maximum(values.std(0), least))


def standard(descriptors: Array, scale: Scale) -> Array:
  """Expresses descriptors [..., 4] in standard deviations of healthy scans, float32."""
  return ((descriptors - scale.mean) / scale.deviation).astype(np.float32)


def placed(centres: Array, descriptors: Array, reach: float) -> Array:
  """Joins positions and standard descriptors to vectors in one unit.

  Args:
    centres: Positions in voxels [N, d].
    descriptors: Descriptors from `standard` [N, 4].
    reach: Distance in voxels that counts as much as one standard deviation, above 0.

  Returns:
    Vectors (position / reach, descriptor), float64 [N, d + 4].
  """
  check_number('reach', reach, 0, above=True)
  return np.concatenate([centres / reach, descriptors], -1).astype(np.float64)


def _checked(
  residual: Array, anomaly: Array, mask: Array, threshold: float
) -> tuple[Array, Array, Array]:
  """Maps of a scan as float32, on the residual's grid."""
  check_number('threshold', threshold)
  shape = np.shape(residual)
  residual = check_map('residual', residual, shape)
  return residual, check_map('anomaly', anomaly, shape), check_map('mask', mask, shape)


def _block_sum(values: Array, cell: int) -> Array:
  """Sums of an array over cells, float64 [*G]; the border is filled with zeros."""
  padded = np.pad(values, [(0, -size % cell) for size in values.shape])
  blocks = [part for size in padded.shape for part in (size // cell, cell)]
  inner = tuple(range(1, 2 * values.ndim, 2))
  return padded.reshape(blocks).sum(inner, dtype=np.float64)
