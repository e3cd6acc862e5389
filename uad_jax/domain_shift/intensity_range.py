"""Functions that measure and change the intensities in the brain of a prepared scan."""

from collections.abc import Callable, Mapping

import numpy as np

Arrays = Mapping[str, np.ndarray]
"""Arrays of a scan or slice by name: 'image' [*S, C], 'mask' [*S, 1] and others."""

Shift = Callable[[Arrays, np.random.Generator], dict[str, np.ndarray]]
"""Function (arrays of a scan, random generator) -> shifted arrays. The arrays are
'image' [*S, C], 'mask' [*S, 1] and, where there are any, 'lesion', 'labels' and 'twin'
(the lesion-free twin, which is shifted exactly as the image). The input is not changed,
and the same state of the generator gives the same shift."""

IMAGES = ('image', 'twin')
"""Arrays that hold intensities: the scan and its lesion-free twin."""


def intensity_range(arrays: Arrays) -> tuple[np.ndarray, np.ndarray]:
  """Computes the 0.5 % and 99.5 % quantile of the brain's intensities, by channel.

  Args:
    arrays: 'image' [*S, C] and 'mask' [*S, 1].

  Returns:
    The two quantiles, [C] each.

  Raises:
    ValueError: The brain mask is empty, or a channel is constant in it.
  """
  brain = arrays['image'][arrays['mask'][..., 0] > 0].astype(np.float64)
  if not len(brain):
    raise ValueError('a shift needs a brain mask that is not empty; this one is')
  low, high = np.quantile(brain, (0.005, 0.995), axis=0)
  if np.any(high <= low):
    raise ValueError('a shift needs intensities that vary in the brain; they do not')
  return low, high


def changed(
  arrays: Arrays, change: Callable[[np.ndarray], np.ndarray]
) -> dict[str, np.ndarray]:
  """Applies a function to the intensities in the brain; the background keeps its own.

  Args:
    arrays: 'image' [*S, C], 'mask' [*S, 1] and maybe 'twin' [*S, C].
    change: Function [*S, C] -> [*S, C], applied to the image and to its twin.

  Returns:
    All arrays, with new ones for the image and the twin (of their data types).
  """
  brain = arrays['mask'] > 0
  new = {
    name: np.where(brain, change(arrays[name]), arrays[name]).astype(arrays[name].dtype)
    for name in IMAGES
    if name in arrays
  }
  return {**arrays, **new}
