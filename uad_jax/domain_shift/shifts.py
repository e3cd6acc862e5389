"""Functions that make simulated domain shifts of prepared scans: contrast, noise, grid.

A shift acts on the arrays of one scan, as `evaluation.scans.Scan.arrays`, or of one
slice: *S below is X Y Z or H W. Each function of `SHIFTS` takes options and returns a
`Shift`. Voxels outside the brain mask keep their values. `non_brain` has the shifts
that replace the image altogether, `shifted_batches` applies shifts to whole scans in
batches of slices.
"""

import functools
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from uad_jax.augmentation import image_transforms
from uad_jax.data.preprocessing import intensity
from uad_jax.domain_shift import non_brain
from uad_jax.domain_shift.blocks import blockwise
from uad_jax.domain_shift.intensity_range import Shift, changed, intensity_range
from uad_jax.ops.limits import check_number, check_whole


def other_contrast(gamma: float = 1.4) -> Shift:
  """Returns a shift that inverts the contrast of the brain, as from T1 to T2.

  With u the intensity relative to the scan's `intensity_range` [a, b] (0 at a, 1 at b),
  x becomes a + (b - a) (1 - sign(u) |u|^g). The map is strictly decreasing: fluid turns
  bright and white matter dark. The exponent g is drawn log-uniformly from [1 / gamma,
  gamma], one for each channel.

  Args:
    gamma: Largest exponent, at least 1; 1 inverts linearly.

  Raises:
    ValueError: `gamma` is below 1.
  """
  check_number('gamma', gamma, 1)

  def shift(arrays, rng):
    low, high = intensity_range(arrays)
    exponent = np.exp(rng.uniform(-1, 1, low.size) * np.log(gamma))

    def invert(image):
      u = (image - low) / (high - low)
      return low + (high - low) * (1 - np.sign(u) * np.abs(u) ** exponent)

    return changed(arrays, invert)

  return shift


def histogram_matched(reference: Sequence[Sequence[float]]) -> Shift:
  """Returns a shift that gives the brain the intensity histogram of training scans.

  The increasing map of Nyul and Udupa (`intensity.histogram_match`), by channel. It is
  the classical remedy against a shift of scanner, and may be one itself, where the
  anatomy differs from that of the reference.

  Args:
    reference: [C, K] quantiles for each channel, from `reference_quantiles`.
  """

  def shift(arrays, rng):
    brain = arrays['mask'][..., 0] > 0
    maps = [
      intensity.histogram_match(arrays['image'][brain, channel], quantiles)
      for channel, quantiles in enumerate(reference)
    ]

    def match(image):
      return np.stack([f(image[..., i]) for i, f in enumerate(maps)], -1)

    return changed(arrays, match)

  return shift


def reference_quantiles(
  scans: Sequence[Mapping[str, np.ndarray]], knots: int = 101
) -> list[tuple[float, ...]]:
  """Computes the mean intensity quantiles of training scans, for `histogram_matched`.

  Quantiles and not densities are averaged, as in the training of Nyul and Udupa (1999).

  Args:
    scans: Arrays of each scan, 'image' [*S, C] and 'mask' [*S, 1].
    knots: Number K of quantiles, between the probabilities 0.005 and 0.995.

  Returns:
    [C, K] quantiles for each channel.

  Raises:
    ValueError: There are no scans.
  """
  if not scans:
    raise ValueError('0 scans for reference quantiles; allowed are 1 or more')
  per_scan = []
  for arrays in scans:
    brain = arrays['image'][arrays['mask'][..., 0] > 0]
    per_scan.append([intensity.quantiles(values, knots) for values in brain.T])
  return [tuple(map(float, row)) for row in np.mean(per_scan, 0)]


def flipped(axis: int) -> Shift:
  """Returns a shift that mirrors all arrays of the scan along one spatial axis.

  Args:
    axis: 0 left to right, 1 front to back, 2 top to bottom (RAS axes).

  Raises:
    ValueError: `axis` is not 0, 1 or 2; the shift raises it if a slice has no axis 2.
  """
  check_whole('axis', axis, 0, 2)

  def shift(arrays, rng):
    grid = arrays['mask'].shape[:-1]
    check_whole('axis', axis, 0, len(grid) - 1)
    return {
      name: np.flip(array, axis).copy() if array.shape[: len(grid)] == grid else array
      for name, array in arrays.items()
    }

  return shift


def noise(deviation: float = 0.1) -> Shift:
  """Returns a shift that adds independent Gaussian noise to the voxels of the brain.

  Args:
    deviation: Standard deviation, as a share of the scan's `intensity_range`.

  Raises:
    ValueError: `deviation` is negative.
  """
  check_number('deviation', deviation, 0)

  def shift(arrays, rng):
    low, high = intensity_range(arrays)
    drawn = rng.normal(size=arrays['image'].shape) * deviation * (high - low)
    return changed(arrays, lambda image: image + drawn)

  return shift


def bias_field(strength: float = 0.5) -> Shift:
  """Returns a shift that multiplies the brain by a smooth random bias field.

  x becomes b + (x - b) exp(f), with b the median outside of the brain mask (0 if the
  mask is everywhere), since a field multiplies magnitudes, whose air is 0. f is that of
  `augmentation.image_transforms.bias_field`; all channels share it.

  Args:
    strength: f interpolates values uniform in [-strength, strength].

  Raises:
    ValueError: `strength` is negative.
  """
  check_number('strength', strength, 0)

  def shift(arrays, rng):
    mask = arrays['mask']
    outside = arrays['image'][mask[..., 0] <= 0]
    air = np.median(outside, 0) if len(outside) else 0.0
    nodes = (1, *[image_transforms.CELLS] * (mask.ndim - 1))
    coarse = rng.uniform(-strength, strength, nodes).astype(np.float32)
    brain = (mask > 0).astype(np.float32)[None]
    field = np.asarray(image_transforms.bias_field(coarse, brain))[0]
    return changed(arrays, lambda image: air + (image - air) * field)

  return shift


def thick_slices(thickness: int = 4, axis: int = -1) -> Shift:
  """Returns a shift that averages slabs of neighbouring slices and interpolates back.

  Only voxels of the brain enter the averages. The position of the first slab is random.

  Args:
    thickness: Slices in a slab, at least 2.
    axis: Spatial axis across the slices; -1 is the last.

  Raises:
    ValueError: `thickness` is below 2; the shift raises it if there is no such axis.
  """
  check_whole('thickness', thickness, 2)

  def shift(arrays, rng):
    dimensions = arrays['mask'].ndim - 1
    check_whole('axis', axis, -dimensions, dimensions - 1)
    sizes = [1] * dimensions
    sizes[axis] = thickness
    return blockwise(arrays, sizes, rng)

  return shift


def low_resolution(factor: int = 2) -> Shift:
  """Returns a shift that averages blocks of voxels and interpolates back.

  Only voxels of the brain enter the averages. The first block's position is random.

  Args:
    factor: Edge length of a block in voxels, at least 2.

  Raises:
    ValueError: `factor` is below 2.
  """
  check_whole('factor', factor, 2)
  return lambda arrays, rng: blockwise(
    arrays, [factor] * (arrays['mask'].ndim - 1), rng
  )


SHIFTS: dict[str, Callable[..., Shift]] = {
  'other_contrast': other_contrast,
  'histogram_matched': histogram_matched,
  'flipped_x': functools.partial(flipped, 0),
  'flipped_y': functools.partial(flipped, 1),
  'flipped_z': functools.partial(flipped, 2),
  'noise': noise,
  'bias_field': bias_field,
  'thick_slices': thick_slices,
  'low_resolution': low_resolution,
  'texture': non_brain.texture,
  'digits': non_brain.digits,
}
"""Functions that return a shift, by name. All but 'histogram_matched', which needs its
reference, can be called without options."""
