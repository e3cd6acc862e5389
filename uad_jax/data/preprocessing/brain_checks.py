"""Functions that check whether a brain mask has a plausible volume, shape and position.

The allowed ranges are wider than these values, which were measured on images of heads
(`Fit` defines the measurements):

* 27 whole heads of two scanners (IXI and UCLA, 2 mm), masks of `strip.by_template`:
  volume 987 to 1577 ml, correlation with the aligned template 0.952 to 0.969, scale
  0.51 to 0.80, squeeze 0.75 to 0.87, cut 0.
* 12 skull-stripped brains of a third scanner: volume 1300 to 1738 ml, correlation 0.939
  to 0.962, scale 0.57 to 0.81.
* Simulated cysts of 240 ml and wide ventricles: correlation down to 0.88.
* A brain that fills the MNI152 template: scale 1.
* A mask that reaches the scalp: scale 1.6 or more.
* A brain with a fifth outside of the field of view: cut 0.36 or more, squeeze 0.69 or
  less.
* Seven heads of UCLA, resampled to 1x1x4, 2x4x2 or 1.5 mm or with a strong bias, whose
  mask reaches the scalp at a scale of 0.94 to 1.22: 1827 to 2292 ml, correlation 0.880
  to 0.928. No brain that was found rightly has more than 1800 ml and less than 0.935.
* Heads with Rician noise of 15 to 20 % of the brightest tissue, whose mask is a tenth
  to a half too small, as the noise hides the rim: fullness 1.09 to 1.11. Without noise
  or with little, and for any voxel size, it is 0.97 to 1.07.
"""

from typing import Any, NamedTuple

import numpy as np

ALLOWED_ML = (50.0, 2500.0)
"""Volume in ml of a mask that is given or read; a slab of a brain may be small."""

HEAD_ML = (300.0, 2300.0)
"""Volume in ml of the brain in a whole head; at birth a brain has 350 to 400 ml."""

CORRELATION = 0.85
"""Smallest correlation of a brain with the aligned template."""

SCALE = (0.2, 1.4)
"""Range of the brain's volume relative to the template: determinant of the affine."""

SQUEEZE = 0.6
"""Smallest scale of the affine along an axis, relative to the largest."""

DOUBTFUL = 0.935
"""Smallest correlation with the template of a mask of `LARGE_ML` or more."""

LARGE_ML = 1800.0
"""Volume in ml from which a mask may hold scalp."""

TEMPLATE_ML = 1950.0
"""Volume in ml of a brain whose alignment has the scale 1."""

FULLNESS = 1.08
"""Largest volume of a mask, relative to that of the aligned template."""

CUT = 0.3
"""Largest section of the brain on a face of the field of view, relative to the largest
parallel section."""

REMEDY = 'give a brain mask by --mask, or labels by --labels'


class Fit(NamedTuple):
  """Measurements that describe how well a brain mask fits the aligned template.

  Attributes:
    volume_ml: Volume of the mask in ml.
    correlation: Correlation of the brain with the aligned template.
    scale: Determinant of the affine from template mm to scan mm.
    squeeze: Smallest divided by largest singular value of this affine.
    cut: Area of the mask on a face of the volume, divided by its largest area in a
      parallel slice; the maximum over the six faces.
  """

  volume_ml: float
  correlation: float
  scale: float
  squeeze: float
  cut: float

  @property
  def fullness(self) -> float:
    """Returns the volume of the mask relative to that of the aligned template."""
    return self.volume_ml / max(self.scale * TEMPLATE_ML, 1e-6)

  def rounded(self) -> dict[str, Any]:
    """Returns the measurements as a dict, rounded for the record of preprocessing."""
    numbers = {name: round(value, 3) for name, value in self._asdict().items()}
    return numbers | {'volume_ml': round(self.volume_ml, 1)}


def measure(
  mask: np.ndarray, affine: np.ndarray, to_scan: np.ndarray, correlation: float
) -> Fit:
  """Computes the `Fit` of a brain mask and of the alignment that produced it.

  Args:
    mask: Brain mask [X, Y, Z], bool.
    affine: 4x4 from voxel to scan mm.
    to_scan: 4x4 from template mm to scan mm.
    correlation: Correlation of the brain with the aligned template.
  """
  scales = np.linalg.svd(to_scan[:3, :3], compute_uv=False)
  return Fit(
    volume_ml(mask, affine),
    float(correlation),
    float(np.prod(scales)),
    float(scales[-1] / scales[0]),
    cut(mask),
  )


def volume_ml(mask: np.ndarray, affine: np.ndarray) -> float:
  """Computes the volume of a mask in ml.

  Args:
    mask: [X, Y, Z], bool.
    affine: 4x4 from voxel to mm.
  """
  return float(np.count_nonzero(mask) * abs(np.linalg.det(affine[:3, :3])) / 1000)


def cut(mask: np.ndarray) -> float:
  """Computes how much of a brain mask lies on the border of the field of view.

  Args:
    mask: [X, Y, Z], bool.

  Returns:
    Area of the mask on a face of the volume, divided by its largest area in a parallel
    slice; the maximum over the six faces. 0 for an empty mask.
  """
  sections = [mask.sum(axes) for axes in ((1, 2), (0, 2), (0, 1))]
  return float(max(max(s[0], s[-1]) / max(s.max(), 1) for s in sections))


def faults(fit: Fit) -> list[str]:
  """Lists the measurements of a brain mask that are outside of the allowed ranges.

  The ranges are those of the brain in an image of a whole head.

  Args:
    fit: Measurements of the mask.

  Returns:
    Texts with value and allowed range, one for each such measurement.
  """
  low, high = HEAD_ML
  smallest, largest = SCALE
  checks = (
    (
      fit.cut <= CUT,
      f'{fit.cut:.0%} of the largest section lie on the border of the field of view '
      f'(allowed up to {CUT:.0%})',
    ),
    (
      low <= fit.volume_ml <= high,
      f'volume {fit.volume_ml:.0f} ml (allowed {low:.0f} to {high:.0f})',
    ),
    (
      smallest <= fit.scale <= largest,
      f'scale to the template {fit.scale:.2f} (allowed {smallest} to {largest})',
    ),
    (
      fit.squeeze >= SQUEEZE,
      f'ratio of its scales {fit.squeeze:.2f} (allowed {SQUEEZE} or more)',
    ),
    (
      fit.correlation >= CORRELATION,
      f'correlation with the template {fit.correlation:.2f} (allowed {CORRELATION} or '
      'more)',
    ),
    (
      fit.volume_ml < LARGE_ML or not CORRELATION <= fit.correlation < DOUBTFUL,
      f'volume {fit.volume_ml:.0f} ml at a correlation with the template of '
      f'{fit.correlation:.2f} (allowed from {LARGE_ML:.0f} ml on: {DOUBTFUL} or more)',
    ),
    (
      fit.fullness <= FULLNESS,
      f'volume relative to the aligned template {fit.fullness:.2f} (allowed up to '
      f'{FULLNESS}; noise hides the rim of the brain)',
    ),
  )
  return [words for passed, words in checks if not passed]


def is_part(fit: Fit) -> bool:
  """Returns whether a brain mask is plausible but cut by the border of the image.

  Args:
    fit: Measurements of the mask.
  """
  return fit.cut > CUT and fit.scale <= SCALE[1] and fit.correlation >= CORRELATION


def volume_fault(mask: np.ndarray, affine: np.ndarray) -> str:
  """Describes the fault of a brain mask that is too small or too large for a brain.

  The mask of a single slice, such as a 2-D picture, is not checked.

  Args:
    mask: Brain mask [X, Y, Z], bool.
    affine: 4x4 from voxel to mm.

  Returns:
    Text with volume and allowed range; '' if the volume is allowed.
  """
  volume, (low, high) = volume_ml(mask, affine), ALLOWED_ML
  if mask.shape[2] == 1 or low <= volume <= high:
    return ''
  return f'{volume:.3g} ml; allowed for a brain are {low:.0f} to {high:.0f} ml'
