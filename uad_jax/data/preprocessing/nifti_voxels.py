"""Functions that read the voxels of an image, and distinguish labels from masks."""

import nibabel as nib
import numpy as np
from nibabel.volumeutils import apply_read_scaling

SOFT_TOPS = (100, 255)
"""Lowest and highest maximum of a soft mask that is stored as whole numbers."""

OVERSHOOT = 0.1
"""Largest accepted distance of a soft mask's values from [0, 1]: interpolation may
overshoot."""

SMALLEST, LARGEST = 1e-40, float(np.finfo(np.float32).max)
"""Range of the largest absolute intensity of a scan that float32 can hold."""

MANY = 12
"""Number of values above which whole numbers in a lesion file are a soft mask."""


def scaled(image: nib.spatialimages.SpatialImage, part=...) -> np.ndarray:
  """Reads the voxels of an image, scaled by the slope and intercept of its header.

  The data type of the result is the one that nibabel chooses.

  Args:
    image: The image.
    part: Index of the part to read, such as `(..., 0)` for the first volume.
  """
  with np.errstate(over='ignore', invalid='ignore'):  # what is not finite is refused
    return np.asanyarray(image.dataobj[part])


def as_float32(image: nib.spatialimages.SpatialImage, part=...) -> np.ndarray:
  """Reads the voxels of an image as float32.

  Integers with a slope are scaled slice by slice. The result equals that of nibabel,
  but nibabel scales the whole volume in float64, which needs several times the memory.

  Args:
    image: The image.
    part: Index of the part to read, such as `(..., 0)` for the first volume.
  """
  proxy = image.dataobj
  plain = part is not ... or not isinstance(proxy, nib.arrayproxy.ArrayProxy)
  with np.errstate(over='ignore', invalid='ignore'):
    if plain or (proxy.slope, proxy.inter) == (1, 0):
      return np.asarray(scaled(image, part), np.float32)
    raw = proxy.get_unscaled()
    data = np.empty(raw.shape, np.float32, order='F')
    for k in range(raw.shape[2]):
      data[:, :, k] = apply_read_scaling(raw[:, :, k], proxy.slope, proxy.inter)
  return data


def range_fault(data: np.ndarray) -> str:
  """Describes why float32 cannot hold the intensities of a scan.

  Args:
    data: Intensities of any type, as stored; those that are not finite are ignored.

  Returns:
    Text with the largest absolute intensity and the remedy; '' if float32 holds them.
  """
  if data.dtype.kind != 'f' or data.dtype.itemsize <= 4:
    return ''
  with np.errstate(invalid='ignore'):
    finite = np.abs(data[np.isfinite(data)])
  top = finite.max() if finite.size else 0
  if top == 0 or SMALLEST <= top <= LARGEST:
    return ''
  shown, divisor = (np.format_float_scientific(top, n, trim='-') for n in (2, 0))
  return (
    f'intensities up to {shown}, beyond the numbers of float32 ({SMALLEST:g} to '
    f'{LARGEST:.2g}); allowed is the scan with all intensities divided by {divisor}'
  )


def labels_in(data: np.ndarray, of_lesions: bool = False) -> tuple[int, ...]:
  """Lists the label numbers in a volume, unless the volume is a mask.

  The volume counts as a mask if one of these holds:
  - It has at most two values.
  - It has values that are not whole numbers, such as probabilities (a soft mask).
  - It looks like a soft mask stored as whole numbers: its maximum is between 100 and
    255, no value is negative, and most voxels above 0.1 of the maximum are above 0.9
    of it, or, with `of_lesions`, it has more than `MANY` different values above 0.

  Args:
    data: Values [X, Y, Z], finite.
    of_lesions: Whether labels in this volume would be kinds of lesions, of which there
      are few, and not anatomical structures.

  Returns:
    The label numbers other than 0, ascending; () for a mask.
  """
  values = data[data != 0]
  if values.dtype.kind == 'f' and (values != np.rint(values)).any():
    return ()
  numbers = np.unique(values)
  if len(numbers) + (values.size < data.size) <= 2:
    return ()
  top = float(numbers[-1])
  if SOFT_TOPS[0] <= top <= SOFT_TOPS[1] and numbers[0] > 0:
    high = np.count_nonzero(values >= 0.9 * top)
    mostly_high = high > 0.5 * np.count_nonzero(values > 0.1 * top)
    if mostly_high or (of_lesions and len(numbers) > MANY):
      return ()
  return tuple(int(n) for n in numbers)


def soft_fault(data: np.ndarray) -> str:
  """Describes why a volume that is not a label file is no brain mask.

  A mask has at most two values. A soft mask has values in [0, 1] or, as whole numbers,
  from 0 to a maximum in `SOFT_TOPS`; at most half of its voxels above 0.1 of the
  maximum are below 0.9 of it. A scan has most values in between.

  Args:
    data: Values [X, Y, Z], finite, for which `labels_in` returns ().

  Returns:
    Text with the values; '' for a mask or a soft mask.
  """
  low, top = float(data.min()), float(data.max())
  if not ((data != low) & (data != top)).any():
    return ''
  if data.dtype.kind == 'f' and (data != np.rint(data)).any():
    if low < -OVERSHOOT or top > 1 + OVERSHOOT:
      return f'values from {low:.4g} to {top:.4g}'
  high = np.count_nonzero(data >= 0.9 * top)
  above = np.count_nonzero(data > 0.1 * top)
  if high < 0.5 * above:
    return f'{1 - high / above:.0%} of its values between 0.1 and 0.9 of the maximum'
  return ''
