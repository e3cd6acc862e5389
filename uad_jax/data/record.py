"""Functions that define the stored data of a slice or volume, and hash its arrays.

A record is a slice or a volume with its metadata; its features are the same for every
dataset. Arrays keep the axes of the RAS volume (x to the right, y to the front, z up);
a slice is `volume[:, :, k]`. Figures rotate it for display.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

ARRAYS = ('image', 'mask', 'lesion', 'twin', 'labels')
"""Keys of a record that are taken from the arrays of a prepared scan."""


def features(
  shape: Sequence[int], channels: int = 1, velocity: int = 0
) -> tfds.features.FeaturesDict:
  """Returns the TFDS features with which a slice or volume and its metadata are stored.

  A feature is the type and shape of one entry of a record. The feature 'twin' is the
  lesion-free twin of the image: the scan without its lesion.

  Args:
    shape: (H, W) for a slice, (X, Y, Z) for a volume.
    channels: Number of contrasts in 'image' and 'twin'.
    velocity: Number of components of the true velocity field, in voxels of the record's
      grid, that simulated data have; 0 for records without one.
  """
  shape = tuple(shape)

  def array(channels, dtype):
    return tfds.features.Tensor(
      shape=(*shape, channels), dtype=dtype, encoding=tfds.features.Encoding.ZLIB
    )

  spec = {
    'image': array(channels, np.float32),  # brain about [0, 1], 0 outside
    'mask': array(1, np.uint8),  # brain mask
    'lesion': array(1, np.uint8),  # lesion mask, zero in healthy scans
    'twin': array(channels, np.float32),  # zero if unknown
    'labels': array(1, np.uint8),  # index into tissue_classes.CLASSES
    'subject': tfds.features.Text(),
    'session': tfds.features.Text(),
    'slice': np.int32,  # index along z in the preprocessed volume; -1 for a volume
    'position': np.float32,  # slice height in [0, 1]; 0.5 for a volume
    'affine': tfds.features.Tensor(shape=(4, 4), dtype=np.float64),  # voxel to mm, RAS
    'domain': tfds.features.Text(),
    'pathology': tfds.features.Text(),  # 'none' in healthy scans
    'age': np.float32,  # years, or the simulator's age-like variable; nan if unknown
    'details': tfds.features.Text(),  # JSON: simulation or preprocessing
  }
  if velocity:
    spec['velocity'] = array(velocity, np.float32)
  return tfds.features.FeaturesDict(spec)


def slice_height(index: int, depth: int) -> float:
  """Computes the relative height of a slice in its volume, from 0 to 1.

  It is the 'position' of a record: 0 for the lowest slice along z, 1 for the highest,
  0.5 for a single slice.

  Args:
    index: Index of the slice along z.
    depth: Number of slices of the volume.
  """
  return index / (depth - 1) if depth > 1 else 0.5


def arrays(scan: Any) -> dict[str, np.ndarray]:
  """Collects image, masks, lesion-free twin and labels of a prepared scan in a dict.

  The keys are `ARRAYS`, as in a record. An unknown twin is all zeros.

  Args:
    scan: A `preprocess.Prepared`, or another object with these attributes.
  """
  by_key = {name: getattr(scan, name) for name in ARRAYS}
  if by_key['twin'] is None:
    by_key['twin'] = np.zeros_like(scan.image)
  return by_key


def cut(volume: Mapping[str, Any], index: int) -> dict[str, np.ndarray]:
  """Extracts the slice `index` along z from each array of a volume.

  The result has the keys `ARRAYS`, with arrays [X, Y, C].
  """
  return {name: np.ascontiguousarray(volume[name][:, :, index]) for name in ARRAYS}


def digest(slices: Iterable[Mapping[str, Any]]) -> str:
  """Computes a SHA-256 hash of the arrays of all slices of a scan.

  It has 64 hexadecimal digits and covers the `ARRAYS` of each slice, in order.
  """
  sha = hashlib.sha256()
  for arrays_of_slice in slices:
    for name in ARRAYS:
      feed(sha, name, arrays_of_slice[name])
  return sha.hexdigest()


def feed(sha: Any, name: str, value: Any) -> None:
  """Updates a hash with the name, dtype, shape and values of an array.

  Args:
    sha: A hash object of `hashlib`; it is updated in place.
    name: Name of the array.
    value: The array, or anything that numpy converts to one.
  """
  array = np.asarray(value)
  sha.update(f'{name} {array.dtype} {array.shape};'.encode())
  sha.update(np.ascontiguousarray(array).tobytes())
