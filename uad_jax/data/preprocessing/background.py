"""Functions that shift the intensities of a scan so that its background is zero.

The preprocessing steps assume the intensities of MRI: air is about zero and tissue is
above. Scans with an offset (as in CT) or scaled to [-1, 1] or to z-scores violate this
assumption. Other scans are not changed.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import ndimage

from uad_jax.data.preprocessing.bad_scan import BadScan
from uad_jax.data.preprocessing.scan import ScanState

SAMPLE = 200_000
"""Number of voxels that the intensities are judged by."""

SCALES = (1e-10, 1e10)
"""Range of intensities in which products of three of them are exact in float32."""

FLAT = 1e-4
"""Largest difference to the background that is none, in parts of the span."""

ABOVE, BELOW, NEAR = 0.1, 0.05, 0.05
"""Limits in parts of the span: background above zero, below zero, and differences to
the lowest intensities."""

SHARE = 0.1
"""Share of voxels from which the background counts as constant, and of the foreground
from which it counts as darker than the background."""

GAP = 0.1
"""Intensity that the darkest tissue gets, in parts of the span, if stripped."""


def to_zero(scan: ScanState) -> tuple[ScanState, dict[str, Any]]:
  """Shifts the background of a scan to zero and rescales extreme intensities.

  The change is that of `fitted`; it is applied to the lesion-free twin of the scan too.

  Returns:
    The scan, and a description of the change; {} if the scan was not changed.

  Raises:
    BadScan: The background is so high that float32 cannot hold the tissue beside it.
  """
  fit = fitted(scan.image, scan.name)
  if fit is None:
    return scan, {}
  change, description = fit
  twin = None if scan.twin is None else change(scan.twin)
  return scan._replace(image=change(scan.image), twin=twin), description


def need_zero(image: np.ndarray, name: str) -> None:
  """Checks that the background of a scan is zero, before intensities are multiplied.

  Args:
    image: Scan [X, Y, Z], float32.
    name: Name of the scan, for the message.

  Raises:
    BadScan: The background is not about zero, see `fitted`.
  """
  fit = fitted(image, name)
  if fit is not None and fit[1]['intensities']['subtracted']:
    raise BadScan(
      f'{name} has intensities from {image.min():g} to {image.max():g} and its '
      'background is not zero; allowed are scans whose air is about zero'
    )


def fitted(
  image: np.ndarray, name: str
) -> tuple[Callable[[np.ndarray], np.ndarray], dict[str, Any]] | None:
  """Computes the change of intensities that brings the background of a scan to zero.

  Three kinds of scans are changed:

  * The background is the darkest part and not near zero: the lowest intensity is
    subtracted.
  * The background is constant and within the range of the tissue, as in skull-stripped
    scans with z-scores: tissue is shifted above zero, background is set to zero.
  * The air has noise around zero, as in some inversion recovery images: the lowest
    intensity is subtracted.

  The intensities are also scaled if their span, the difference of the percentiles 0.5
  and 99.5, is outside of `SCALES`. The background is the median of the eight corner
  voxels of the volume.

  Args:
    image: Scan [X, Y, Z], float32.
    name: Name of the scan, for the message.

  Returns:
    Function that changes the intensities of an array [X, Y, Z], and the description of
    the change; None if no change is needed.

  Raises:
    BadScan: The background is so high that float32 cannot hold the tissue beside it.
  """
  low, high = float(image.min()), float(image.max())
  usual = low == 0 and SCALES[0] < high < SCALES[1]
  if usual or not np.isfinite([low, high]).all() or low == high:
    return None
  voxels = image.ravel(order='K')
  voxels = voxels[:: max(voxels.size // SAMPLE, 1)].astype(np.float64)
  bottom, top = np.percentile(voxels, (0.5, 99.5))
  span = top - bottom
  if span <= 0:
    return None
  corners = image[:: image.shape[0] - 1, :: image.shape[1] - 1, :: image.shape[2] - 1]
  background = float(np.median(corners.astype(np.float64)))
  if abs(background) * np.finfo(np.float32).eps > 1e-3 * span:
    raise BadScan(
      f'{name} has intensities from {low:.10g} to {high:.10g}, which differ too little '
      'for float32; allowed is the scan after the lowest one was subtracted'
    )
  scale = 1.0 if SCALES[0] < span < SCALES[1] else 1000 / span
  tissue = np.abs(voxels - background) > FLAT * span
  darker = np.mean(voxels[tissue] < background - NEAR * span)
  if tissue.mean() < 1 - SHARE and darker > SHARE:
    return _stripped(image, background, span, scale)
  lowest = max(low, bottom - NEAR * span)
  offset = background < -BELOW * span or lowest > ABOVE * span
  offset = offset and background - lowest < ABOVE * span
  noisy = np.mean(voxels < -BELOW * span) > SHARE
  if offset or noisy:
    return _affine(lowest, scale)
  return None if scale == 1 else _affine(0.0, scale)


def _affine(lowest: float, scale: float):
  def change(image: np.ndarray) -> np.ndarray:
    return ((image.astype(np.float64) - lowest) * scale).astype(np.float32)

  return change, {'intensities': {'subtracted': lowest, 'factor': scale}}


def _stripped(image: np.ndarray, background: float, span: float, scale: float):
  """Change for a constant background within the range of the tissue."""
  differs = np.abs(image - background) > FLAT * span
  tissue = ndimage.binary_fill_holes(differs)
  lowest = float(np.percentile(image[tissue], 0.1)) - GAP * span

  def change(other: np.ndarray) -> np.ndarray:
    shifted = np.maximum((other.astype(np.float64) - lowest) * scale, 0)
    return np.where(tissue, shifted, 0).astype(np.float32)

  return change, {
    'intensities': {'subtracted': lowest, 'factor': scale, 'background': background}
  }
