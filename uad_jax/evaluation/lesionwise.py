"""Lesion-wise detection: connected components of lesion masks and of detections."""

import numpy as np
from scipy import ndimage

OVERLAP = 0.1
"""Share of a lesion from which it counts as found, of a detection as correct."""
SIZES_ML = (0.1, 1.0, 10.0)
SIZE_NAMES = ('<0.1 ml', '0.1-1 ml', '1-10 ml', '>=10 ml')


def components(mask: np.ndarray) -> tuple[np.ndarray, int]:
  """Labels the connected components of a binary mask; corners connect (26 in 3-D).

  Returns:
    Labels in the mask's shape, 0 outside and from 1 up, and the number of components.
  """
  return ndimage.label(mask, np.ones((3,) * mask.ndim))


def shares(labels: np.ndarray, number: int, other: np.ndarray) -> np.ndarray:
  """Computes the share of each component's voxels that lie in another mask, [number].

  Args:
    labels: Component labels, as `components` gives.
    number: Number of components.
    other: Binary mask of the same shape.
  """
  size = np.bincount(labels.ravel(), minlength=number + 1)[1:]
  inside = np.bincount(labels[other > 0], minlength=number + 1)[1:]
  return inside / np.maximum(size, 1)


def size_bin(millilitres: np.ndarray) -> np.ndarray:
  """Returns the index into SIZE_NAMES of each lesion volume in ml."""
  return np.digitize(millilitres, SIZES_ML)


class Lesions:
  """True lesions of one scan, labelled once and compared with several detections.

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
    """Counts the selected lesions in each size bin, [len(SIZE_NAMES)].

    Args:
      chosen: [number] bool, the selected lesions.
    """
    return np.bincount(self.bins[chosen], minlength=len(SIZE_NAMES))

  def match(self, predicted: np.ndarray, overlap: float = OVERLAP) -> dict:
    """Matches a detection with the lesions, for lesion-wise recall, precision and F1.

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
