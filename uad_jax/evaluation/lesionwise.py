"""Functions that count detected lesions and correct detections in binary masks.

A lesion is a connected component of the lesion mask, a detection one of the binary
detection; the two are matched by their overlap. Lesion-wise recall, precision and F1
are computed from the matches.
"""

import numpy as np
from scipy import ndimage

OVERLAP = 0.1
"""Smallest detected share of a lesion with which the lesion counts as found, and
smallest lesion share of a detected component with which it counts as correct."""
SIZES_ML = (0.1, 1.0, 10.0)
SIZE_NAMES = ('<0.1 ml', '0.1-1 ml', '1-10 ml', '>=10 ml')


def components(mask: np.ndarray) -> tuple[np.ndarray, int]:
  """Labels the connected components of a binary mask (26-connectivity in 3-D).

  Returns:
    Labels in the mask's shape, 0 outside and from 1 up, and the number of components.
  """
  return ndimage.label(mask, np.ones((3,) * mask.ndim))


def shares(labels: np.ndarray, number: int, other: np.ndarray) -> np.ndarray:
  """Computes the share of each component's voxels that lie inside a second mask.

  Args:
    labels: Component labels, as `components` returns them.
    number: Number of components.
    other: Binary mask of the same shape.

  Returns:
    [number] shares.
  """
  size = np.bincount(labels.ravel(), minlength=number + 1)[1:]
  inside = np.bincount(labels[other > 0], minlength=number + 1)[1:]
  return inside / np.maximum(size, 1)


def size_bin(millilitres: np.ndarray) -> np.ndarray:
  """Returns the index of each lesion's size bin; the bin edges are 0.1, 1 and 10 ml.

  Args:
    millilitres: Volumes of the lesions, ml.

  Returns:
    Indices into SIZE_NAMES.
  """
  return np.digitize(millilitres, SIZES_ML)


class Lesions:
  """Lesion mask of one scan, split into labelled connected components (the lesions).

  Args:
    lesion: Lesion mask [X, Y, Z].
    voxel_ml: Volume of a voxel, ml.

  Attributes:
    mask: Lesion mask, bool [X, Y, Z].
    labels: Lesion labels [X, Y, Z], from 1.
    number: Number of lesions.
    bins: [number] index into SIZE_NAMES by lesion.
  """

  def __init__(self, lesion: np.ndarray, voxel_ml: float):
    self.mask = lesion > 0
    self.labels, self.number = components(self.mask)
    sizes = np.bincount(self.labels.ravel(), minlength=self.number + 1)[1:]
    self.bins = size_bin(sizes * voxel_ml)

  def by_size(self, chosen: np.ndarray) -> np.ndarray:
    """Counts the selected lesions in each size bin.

    Args:
      chosen: [number] bool, the selected lesions.

    Returns:
      [len(SIZE_NAMES)] counts.
    """
    return np.bincount(self.bins[chosen], minlength=len(SIZE_NAMES))

  def match(self, predicted: np.ndarray, overlap: float = OVERLAP) -> dict:
    """Determines which true lesions a binary detection mask covers well enough.

    It also counts the connected components of the detection that are correct, because
    they overlap with lesions. Lesion-wise recall, precision and F1 are computed from
    the result.

    Args:
      predicted: Binary detection [X, Y, Z].
      overlap: A lesion is found if at least this share of its voxels is detected; a
        detected component is correct if at least this share of its voxels is lesion.

    Returns:
      'found' [number] bool by lesion; 'predictions' and 'correct', the numbers of
      detected and of correct components.
    """
    labels, number = components(predicted)
    return {
      'found': shares(self.labels, self.number, predicted) >= overlap,
      'predictions': number,
      'correct': int(np.sum(shares(labels, number, self.mask) >= overlap)),
    }
