"""Class that holds a scan between two preprocessing steps."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from uad_jax.data.preprocessing import grid


class ScanState(NamedTuple):
  """Arrays and affines of a scan between two preprocessing steps.

  All arrays share one grid [X, Y, Z].

  Attributes:
    image: [X, Y, Z] float32.
    twin: Lesion-free twin of the image, [X, Y, Z] float32; None if unknown.
    mask: Brain mask, [X, Y, Z] bool; None until it is known.
    labels: Numbers of the label file, [X, Y, Z] int32; None without labels.
    lesion: Lesion mask, [X, Y, Z] bool; None without one.
    affine: 4x4 from voxel to mm of the scan, or of the template once aligned.
    to_scan: 4x4 from the mm of `affine` to mm of the scan.
    aligned: Name of the template that the scan is aligned to; None before.
    slices: Indices along z that are chosen; empty for all.
    measured: Results of the last step, such as a correlation; written into the chain.
    name: Name of the scan, for messages.
  """

  image: np.ndarray
  twin: np.ndarray | None
  mask: np.ndarray | None
  labels: np.ndarray | None
  lesion: np.ndarray | None
  affine: np.ndarray
  to_scan: np.ndarray
  aligned: str | None
  slices: tuple[int, ...]
  measured: dict[str, Any]
  name: str

  def map_arrays(self, change: Callable[[np.ndarray], np.ndarray]) -> 'ScanState':
    """Applies the function `change` to each array of the scan that is not None."""
    names = ('image', 'twin', 'mask', 'labels', 'lesion')
    arrays = {name: getattr(self, name) for name in names}
    return self._replace(**{k: change(a) for k, a in arrays.items() if a is not None})

  def box(self, first: np.ndarray, end: np.ndarray) -> 'ScanState':
    """Crops all arrays of the scan to a box of voxels.

    Outside the old grid they are padded with zeros.

    Args:
      first: First voxel [3] of the box; may be negative.
      end: Voxel [3] after the last of the box; may exceed the shape.
    """
    shape = np.array(self.image.shape)
    inner = tuple(
      slice(a, b)
      for a, b in zip(np.clip(first, 0, shape), np.clip(end, 0, shape), strict=True)
    )
    pad = tuple(zip(np.maximum(-first, 0), np.maximum(end - shape, 0), strict=True))
    boxed = self.map_arrays(lambda array: np.pad(array[inner], pad))
    return boxed._replace(affine=grid.translated(self.affine, first))
