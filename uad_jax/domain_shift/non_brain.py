"""Shifts that replace the brain by something else: smooth textures, written digits.

They test whether a method notices images that hold no brain at all. The brain mask
stays, so that nothing but the content tells. Lesions and labels become 0.
"""

import functools

import numpy as np
from scipy import ndimage
from sklearn import datasets

from uad_jax.domain_shift.intensity_range import Arrays, Shift, changed, intensity_range
from uad_jax.ops.limits import check_number


def texture(smoothness: float = 2.0) -> Shift:
  """Returns a shift that replaces the brain by a smooth random texture.

  The texture is Gaussian noise after a Gaussian filter. Its voxels take the intensities
  of the brain in the order of their ranks, so that the histogram stays exactly that of
  the scan and only the structure changes.

  Args:
    smoothness: Standard deviation of the filter in voxels, above 0.

  Raises:
    ValueError: `smoothness` is not above 0.
  """
  check_number('smoothness', smoothness, 0, above=True)

  def shift(arrays, rng):
    brain = arrays['mask'][..., 0] > 0
    image = arrays['image'].copy()
    for channel in range(image.shape[-1]):
      field = ndimage.gaussian_filter(rng.normal(size=brain.shape), smoothness)
      ranks = np.argsort(np.argsort(field[brain]))
      image[brain, channel] = np.sort(image[brain, channel])[ranks]
    return _replaced(arrays, image)

  return shift


def digits() -> Shift:
  """Returns a shift that replaces the brain by a handwritten digit.

  A random digit of the set in scikit-learn (8 x 8 pixels, Alpaydin and Kaynak 1998) is
  enlarged linearly to the box around the brain; the slices of a scan all show it. Its
  intensities span the scan's `intensity_range`.
  """

  def shift(arrays, rng):
    brain = arrays['mask'][..., 0] > 0
    low, high = intensity_range(arrays)
    box = ndimage.find_objects(brain.astype(np.uint8))[0]
    # Turned, since the first axis of a slice runs to the right and the second upwards.
    digit = np.rot90(rng.choice(_digits()), -1)
    lines = [
      np.linspace(0, size - 1, part.stop - part.start)
      for size, part in zip(digit.shape, box[:2], strict=True)
    ]
    enlarged = ndimage.map_coordinates(
      digit, np.meshgrid(*lines, indexing='ij'), order=1
    )
    content = np.zeros((*brain.shape[:2], *[1] * (brain.ndim - 2), 1))
    content[box[:2]] = enlarged.reshape(*enlarged.shape, *[1] * (content.ndim - 2))
    return _replaced(arrays, low + (high - low) * content)

  return shift


@functools.cache
def _digits() -> np.ndarray:
  """Loads the handwritten digits of scikit-learn, [1797, 8, 8] in [0, 1]."""
  return datasets.load_digits().images / 16


def _replaced(arrays: Arrays, content: np.ndarray) -> dict[str, np.ndarray]:
  """Returns the arrays with other content in the brain, without lesions and labels."""
  nothing = {
    name: np.zeros_like(arrays[name]) for name in ('lesion', 'labels') if name in arrays
  }
  return {**changed(arrays, lambda image: content), **nothing}
