"""A scan on its way through preprocessing."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from uad_jax.data.preprocessing import grid


class ScanState(NamedTuple):
  """What the steps take and give. The arrays share one grid."""

  image: np.ndarray  # [X, Y, Z] float32
  twin: np.ndarray | None  # the same without its lesion
  mask: np.ndarray | None  # bool
  labels: np.ndarray | None  # int32, numbers of the label file
  lesion: np.ndarray | None  # bool
  affine: np.ndarray  # voxel to mm of the scan, or of the template once aligned
  to_scan: np.ndarray  # those mm to mm of the scan
  aligned: str | None  # name of the template
  slices: tuple[int, ...]  # chosen along z
  found: dict[str, Any]  # what the last step measured
  name: str

  def each(self, change: Callable[[np.ndarray], np.ndarray]) -> 'ScanState':
    """The scan with `change` applied to each of its arrays."""
    names = ('image', 'twin', 'mask', 'labels', 'lesion')
    arrays = {name: getattr(self, name) for name in names}
    return self._replace(**{k: change(a) for k, a in arrays.items() if a is not None})

  def box(self, first: np.ndarray, end: np.ndarray) -> 'ScanState':
    """The part from voxel `first` to before `end`; zeros where that is outside."""
    shape = np.array(self.image.shape)
    inner = tuple(
      slice(a, b)
      for a, b in zip(np.clip(first, 0, shape), np.clip(end, 0, shape), strict=True)
    )
    pad = tuple(zip(np.maximum(-first, 0), np.maximum(end - shape, 0), strict=True))
    cut = self.each(lambda array: np.pad(array[inner], pad))
    return cut._replace(affine=grid.translated(self.affine, first))
