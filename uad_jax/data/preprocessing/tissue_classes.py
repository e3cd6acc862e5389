"""Names of the tissue classes, and a function that maps label numbers to them.

All datasets use these classes: the 'labels' of a record are indices into `CLASSES`.
"""

from collections.abc import Mapping, Sequence

import numpy as np

CLASSES = ('background', 'csf', 'grey', 'white', 'ventricle')
"""Class names; a label is an index into them. A dataset may know only some classes."""

VENTRICLE = CLASSES.index('ventricle')
"""Label of the ventricles."""


def class_indices(
  labels: np.ndarray | None, shape, label_map: Mapping[str, Sequence[int]]
) -> np.ndarray:
  """Turns the numbers of a label file into tissue classes.

  Args:
    labels: Numbers [X, Y, Z]; None without a label file.
    shape: Shape [3] of the result.
    label_map: Maps each class of `CLASSES` to its numbers in the label file.

  Returns:
    Index into `CLASSES` for each voxel, uint8; zero where the class is not known.

  Raises:
    ValueError: `label_map` holds a class that is not in `CLASSES`.
  """
  result = np.zeros(shape, np.uint8)
  for name, numbers in label_map.items():
    if name not in CLASSES:
      raise ValueError(f"label_map has '{name}'; allowed are {', '.join(CLASSES)}")
    if labels is not None:
      result[np.isin(labels, numbers)] = CLASSES.index(name)
  return result
