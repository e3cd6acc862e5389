"""Statistics of a scan's or slice's image: brightness, contrast, sharpness, complexity.

They describe how a scan was acquired. Most are medians or quantiles over the brain,
which a focal lesion hardly moves. An image is [*S, C], *S being X Y Z or H W; the
statistics are those of its first channel.
"""

import zlib

import numpy as np

QUANTILES = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)
"""Probabilities of the intensity quantiles that the statistics are made of."""

_LEVELS = 3.0
"""Interquartile ranges to each side of the median that 8 bits span."""

_LEAST = 1e-3
"""Smallest ratio that is told from 0, so that images with few intensities have finite
statistics."""


def of_image(image: np.ndarray, brain: np.ndarray) -> dict[str, float]:
  """Computes all statistics of an image, by their names in `statistics.STATISTICS`.

  Args:
    image: Scan [X, Y, Z, C] or slice [H, W, C].
    brain: Brain mask of the same axes, [*S, 1], above 0 in the brain.

  Returns:
    Statistics by name; nan where undefined, as in a brain of one intensity.

  Raises:
    ValueError: The brain mask is empty, or an intensity in it is not finite.
  """
  inside = np.asarray(brain)[..., 0] > 0
  values = np.asarray(image[..., 0], np.float64)
  if not inside.any():
    raise ValueError('statistics of a scan need a brain mask that is not empty')
  if not np.isfinite(values[inside]).all():
    raise ValueError('statistics of a scan need finite intensities in the brain')
  box = tuple(slice(k.min(), k.max() + 1) for k in np.nonzero(inside))
  values, inside = values[box], inside[box]
  return {
    **histogram_shape(values[inside]),
    **sharpness(values, inside),
    **centre(inside),
    'unevenness': unevenness(values, inside),
    'complexity': complexity(values, inside),
  }


def histogram_shape(values: np.ndarray) -> dict[str, float]:
  """Computes quantiles of the intensities and the robust shape of their histogram.

  With the quantiles q_p: 'brightness' is q_0.5, 'contrast' q_0.75 - q_0.25, 'asymmetry'
  Bowley's skewness (q_0.75 + q_0.25 - 2 q_0.5) / (q_0.75 - q_0.25), and 'tails' is
  (q_0.9 - q_0.1) / (q_0.75 - q_0.25). The last two do not change with the scale and the
  origin of the intensities.

  Args:
    values: Intensities [N] in the brain.
  """
  q5, q10, q25, q50, q75, q90, q95 = np.quantile(values, QUANTILES)
  width = _width(values)
  return {
    'brightness': float(q50),
    'contrast': float(q75 - q25),
    'asymmetry': _ratio(q75 + q25 - 2 * q50, width),
    'tails': _ratio(q90 - q10, width),
    'intensity_5': float(q5),
    'intensity_95': float(q95),
  }


def sharpness(values: np.ndarray, inside: np.ndarray) -> dict[str, float]:
  """Computes fine detail, resolution, and the sharpness along each axis.

  D_k^s(p) = x(p + s e_k) - 2 x(p) + x(p - s e_k) is the second difference along axis k,
  taken where all three voxels lie in the brain; d_k^s is the median of its absolute
  value. 'detail' is the mean of d_k^1 over the axes, relative to the interquartile
  range of the intensities. 'resolution' is the mean over the axes of log (d_k^2 /
  d_k^1): 0 for white noise, log 4 for a smooth image. 'sharpness_k' is log d_k^1 minus
  its mean over the axes: low across thick slices. Differences below a thousandth of the
  interquartile range count as that.

  Args:
    values: Intensities [*S].
    inside: Brain mask, bool [*S].
  """
  near, far = (
    np.array([_second_difference(values, inside, k, step) for k in range(inside.ndim)])
    for step in (1, 2)
  )
  width = _width(values[inside])
  logs, far_logs = (np.log(np.maximum(x, _LEAST * width)) for x in (near, far))
  along = logs - logs.mean()
  return {
    'detail': _ratio(near.mean(), width),
    'resolution': float(np.mean(far_logs - logs)),
    **{f'sharpness_{k}': float(value) for k, value in enumerate(along)},
  }


def _second_difference(
  values: np.ndarray, inside: np.ndarray, axis: int, step: int
) -> float:
  """Median absolute second difference along an axis; nan without three voxels."""

  def part(array, start):
    stop = max(array.shape[axis] - 2 * step, 0) + start
    return array[(slice(None),) * axis + (slice(start, stop),)]

  before, centre, after = (part(values, k * step) for k in range(3))
  within = np.logical_and.reduce([part(inside, k * step) for k in range(3)])
  if not within.any():
    return np.nan
  return float(np.median(np.abs((after - 2 * centre + before)[within])))


def unevenness(values: np.ndarray, inside: np.ndarray) -> float:
  """Computes how much the brightness differs between the parts of the brain.

  The brain is halved along each axis at the median of its voxels. The statistic is the
  interquartile range of the medians of the 2^d parts, relative to that of the
  intensities. A bias field raises it; a lesion in a single part hardly does.

  Args:
    values: Intensities [*S].
    inside: Brain mask, bool [*S].
  """
  places = np.argwhere(inside)
  upper = places > np.median(places, 0)
  part = upper @ (1 << np.arange(inside.ndim))
  intensities = values[inside]
  medians = [np.median(intensities[part == k]) for k in np.unique(part)]
  spread = np.subtract(*np.quantile(medians, (0.75, 0.25)))
  return _ratio(spread, _width(intensities))


def centre(inside: np.ndarray) -> dict[str, float]:
  """Computes how far the centre of the brain is from the middle of the box around it.

  'centre_k' is the mean position of the brain voxels along axis k, from -0.5 at the
  low end of the box to 0.5 at its high end. It changes its sign if the scan is mirrored
  and depends on the brain mask alone.

  Args:
    inside: Brain mask, bool [*S], cropped to the brain.
  """
  sizes = np.array(inside.shape)
  means = (np.argwhere(inside).mean(0) + 0.5) / sizes - 0.5
  return {f'centre_{k}': float(value) for k, value in enumerate(means)}


def complexity(values: np.ndarray, inside: np.ndarray) -> float:
  """Computes the bits per brain voxel of a lossless compression of the brain.

  The input complexity of Serra et al. (ICLR 2020), as PNG compresses: the box around
  the brain in 8 bits, each line minus the line before (the filter 'up'), by deflate.
  The 256 levels span 3 interquartile ranges to either side of the median intensity,
  which a bright lesion does not move; the background is level 0.

  Args:
    values: Intensities [*S], cropped to the brain.
    inside: Brain mask, bool [*S], cropped to the brain.
  """
  width = _width(values[inside])
  if width <= 0:
    return np.nan
  scaled = (values - np.median(values[inside])) / (2 * _LEVELS * width) + 0.5
  levels = np.where(inside, np.clip(np.rint(scaled * 255), 1, 255), 0)
  lines = np.moveaxis(levels, (0, 1), (-2, -1)).astype(np.uint8)
  filtered = np.diff(lines, axis=-2, prepend=np.uint8(0))  # modulo 256, as in PNG
  return 8 * len(zlib.compress(filtered.tobytes(), 9)) / int(inside.sum())


def _ratio(a: float, b: float) -> float:
  """Computes a / b; nan where b is not above 0."""
  return float(a / b) if b > 0 else np.nan


def _width(values: np.ndarray) -> float:
  """Interquartile range, at least a thousandth of the whole range."""
  low, high = np.quantile(values, (0.25, 0.75))
  return float(max(high - low, _LEAST * np.ptp(values)))
