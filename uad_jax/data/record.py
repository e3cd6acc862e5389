"""What one record of any dataset holds: a slice or a volume and all that is known.

Arrays keep the axes of the RAS volume (x to the right, y to the front, z up); a slice
is `volume[:, :, k]`. Pictures turn it for display.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

ARRAYS = ('image', 'mask', 'lesion', 'twin', 'labels')
"""What a scan gives."""


def features(
  shape: Sequence[int], channels: int = 1, velocity: int = 0
) -> tfds.features.FeaturesDict:
  """The features of a record with spatial `shape`.

  Args:
    shape: (H, W) for a slice, (X, Y, Z) for a volume.
    channels: Number of contrasts in 'image' and 'twin'.
    velocity: Components of the known velocity field, 0 where none is known.
  """
  shape = tuple(shape)

  def array(channels, dtype):
    return tfds.features.Tensor(
      shape=(*shape, channels), dtype=dtype, encoding=tfds.features.Encoding.ZLIB
    )

  spec = {
    'image': array(channels, np.float32),  # brain about [0, 1], 0 outside
    'mask': array(1, np.uint8),  # brain
    'lesion': array(1, np.uint8),  # zero for the healthy
    'twin': array(channels, np.float32),  # the image without its lesion
    'labels': array(1, np.uint8),  # index into CLASSES
    'subject': tfds.features.Text(),
    'session': tfds.features.Text(),
    'slice': np.int32,  # index along z in the preprocessed volume; -1 for a volume
    'position': np.float32,  # slice height in [0, 1]; 0.5 for a volume
    'affine': tfds.features.Tensor(shape=(4, 4), dtype=np.float64),  # voxel to mm, RAS
    'domain': tfds.features.Text(),
    'pathology': tfds.features.Text(),  # 'none' for the healthy
    'age': np.float32,  # years, or the simulator's age-like variable; nan if unknown
    'details': tfds.features.Text(),  # JSON: simulation or preprocessing
  }
  if velocity:
    spec['velocity'] = array(velocity, np.float32)  # voxels of this grid
  return tfds.features.FeaturesDict(spec)


def slice_height(index: int, depth: int) -> float:
  """The 'position' of slice `index` of a preprocessed volume with `depth` slices."""
  return index / max(depth - 1, 1)


def arrays(scan: Any) -> dict[str, np.ndarray]:
  """The arrays of a scan's record (`preprocess.Prepared`); an unknown twin is 0."""
  given = {name: getattr(scan, name) for name in ARRAYS}
  if given['twin'] is None:
    given['twin'] = np.zeros_like(scan.image)
  return given


def cut(volume: Mapping[str, Any], index: int) -> dict[str, np.ndarray]:
  """Slice `index` of the arrays of a volume."""
  return {name: np.ascontiguousarray(volume[name][:, :, index]) for name in ARRAYS}


def digest(slices: Iterable[Mapping[str, Any]]) -> str:
  """SHA-256 over the arrays of the slices of a scan, in their order."""
  sha = hashlib.sha256()
  for each in slices:
    for name in ARRAYS:
      feed(sha, name, each[name])
  return sha.hexdigest()


def feed(sha: Any, name: str, value: Any) -> None:
  """Adds an array to a hash, with its name, type and shape."""
  array = np.asarray(value)
  sha.update(f'{name} {array.dtype} {array.shape};'.encode())
  sha.update(np.ascontiguousarray(array).tobytes())
