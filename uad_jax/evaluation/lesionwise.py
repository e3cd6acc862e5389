"""Lesions as objects: which are found, and which detections are real."""

import numpy as np
from scipy import ndimage

OVERLAP = 0.1
SIZES_ML = (0.1, 1.0, 10.0)
SIZE_NAMES = ('<0.1 ml', '0.1-1 ml', '1-10 ml', '>=10 ml')


def components(mask: np.ndarray) -> tuple[np.ndarray, int]:
  """Labels from 1 of the connected parts, and their number; corners connect."""
  return ndimage.label(mask, np.ones((3,) * mask.ndim))


def shares(labels: np.ndarray, number: int, other: np.ndarray) -> np.ndarray:
  """The share of each component that lies in `other`, [number]."""
  size = np.bincount(labels.ravel(), minlength=number + 1)[1:]
  inside = np.bincount(labels[other > 0], minlength=number + 1)[1:]
  return inside / np.maximum(size, 1)


def size_bin(millilitres: np.ndarray) -> np.ndarray:
  """Index into SIZE_NAMES of each lesion volume."""
  return np.digitize(millilitres, SIZES_ML)


class Lesions:
  """The true lesions of a scan, labelled once and compared with several detections."""

  def __init__(self, lesion: np.ndarray, voxel_ml: float):
    self.mask = lesion > 0
    self.labels, self.number = components(self.mask)
    sizes = np.bincount(self.labels.ravel(), minlength=self.number + 1)[1:]
    self.bins = size_bin(sizes * voxel_ml)

  def by_size(self, chosen: np.ndarray) -> np.ndarray:
    """How many of the chosen lesions ([number] bool) fall into each size bin."""
    return np.bincount(self.bins[chosen], minlength=len(SIZE_NAMES))

  def match(self, predicted: np.ndarray, overlap: float = OVERLAP) -> dict:
    """Counts for recall, precision and F1.

    Args:
      predicted: Binary, of the scan's shape.
      overlap: A lesion is found when at least this share of it is marked; a detection
        is correct when at least this share of it is lesion.

    Returns:
      'found' [number] bool by lesion; 'predictions' and 'correct', how many.
    """
    labels, number = components(predicted)
    return {
      'found': shares(self.labels, self.number, predicted) >= overlap,
      'predictions': number,
      'correct': int(np.sum(shares(labels, number, self.mask) >= overlap)),
    }
