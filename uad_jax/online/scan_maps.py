"""Maps of one scan, the input of a stream, and their checks."""

from typing import NamedTuple

import numpy as np

from uad_jax.online.array_checks import check_map

Array = np.ndarray


class Maps(NamedTuple):
  """Maps of one scan on the grid of the training data.

  Attributes:
    residual: Signed residual [*S].
    anomaly: Anomaly map [*S].
    mask: Brain mask [*S], 0 or 1.
  """

  residual: Array
  anomaly: Array
  mask: Array


def checked(maps: Maps, shape: tuple[int, ...]) -> Maps:
  """Checks the maps of a scan and returns them as float32.

  Args:
    maps: Maps of the scan.
    shape: Expected grid.

  Raises:
    ValueError: A map has another grid or is not finite, or the brain mask is empty or
      not binary.
  """
  pairs = zip(Maps._fields, maps, strict=True)
  maps = Maps(*(check_map(name, values, shape) for name, values in pairs))
  if not maps.mask.any():
    raise ValueError('mask is empty; allowed is a brain mask with a voxel or more')
  if not ((maps.mask == 0) | (maps.mask == 1)).all():
    raise ValueError('mask holds other numbers; allowed are 0 and 1')
  return maps
