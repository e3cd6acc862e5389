"""Preprocessing steps for 2-D images (pictures): pixel size, mask and scaling."""

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from uad_jax.data.preprocessing import grid
from uad_jax.data.preprocessing.nifti import BadScan
from uad_jax.data.preprocessing.scan import ScanState
from uad_jax.data.preprocessing.steps.geometry import resample

CONSTANT_FRAME = 0.9
"""Smallest share of the outermost pixels that have the value of the background, if a
picture has a background."""

SMALL_PART = 0.05
"""Parts of the foreground below this share of the largest one are left out."""


def picture(
  scan: ScanState,
  channel: int | None = None,
  pixel_mm: float | Sequence[float] | None = None,
) -> ScanState:
  """Sets the pixel size of a picture.

  This step also marks a list of steps as one for pictures: if the list contains it, the
  files are read by `picture.read`, else as NIfTI.

  Args:
    scan: State of the scan, a volume of one slice.
    channel: Index of the colour channel to read; None for grey pictures. It is used
      when the file is read, not here.
    pixel_mm: Pixel size in mm, one number or (x, y); None keeps that of the file.

  Raises:
    BadScan: The scan is not a single slice.
  """
  if scan.image.shape[2] != 1:
    raise BadScan(
      f'{scan.name} is a volume of {scan.image.shape[2]} slices; allowed are pictures '
      'such as PNG files, which the model was trained on'
    )
  old = grid.spacing(scan.affine)[:2]
  new = old if pixel_mm is None else np.broadcast_to(np.asarray(pixel_mm, float), (2,))
  scale = np.diag([*(new / old), 1.0, 1.0])
  return scan._replace(
    affine=scale @ scan.affine,
    to_scan=scan.to_scan @ np.linalg.inv(scale),
    measured={'size_mm': [round(float(size), 4) for size in new]},
  )


def foreground(
  scan: ScanState, tolerance: float = 0.02, close: float = 3.0
) -> ScanState:
  """Computes the mask of a picture by its content, unless a mask was read with it.

  The background value is the median of the outermost pixels. The mask holds the pixels
  that differ from it, after a closing and without holes and small parts. If less than
  `CONSTANT_FRAME` of the outermost pixels have the background value, the picture has no
  background (a texture, for example), and the mask holds all pixels.

  Args:
    scan: State of the scan, a volume of one slice.
    tolerance: Largest difference to the background value that counts as background, as
      a fraction of the 99.5th percentile of the differences of all pixels.
    close: Radius of the closing in mm.

  Raises:
    BadScan: All pixels are background.
  """
  if scan.mask is not None:
    return scan._replace(measured={'by': 'given'})
  image = scan.image[..., 0]
  frame = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
  background = np.median(frame)
  difference = np.abs(image - background)
  limit = tolerance * np.percentile(difference, 99.5)
  if np.mean(np.abs(frame - background) <= limit) < CONSTANT_FRAME:
    return scan._replace(
      mask=np.ones(scan.image.shape, bool), measured={'by': 'whole picture'}
    )
  mask = _closed(difference > limit, grid.spacing(scan.affine)[:2], close)
  parts, count = ndimage.label(mask)
  if count == 0:
    raise BadScan(f'{scan.name} shows nothing but background; allowed is a picture')
  sizes = np.bincount(parts.ravel())[1:]
  large = 1 + np.flatnonzero(sizes >= SMALL_PART * sizes.max())
  mask = ndimage.binary_fill_holes(np.isin(parts, large))
  return scan._replace(mask=mask[..., None], measured={'by': 'foreground'})


def fit(scan: ScanState, shape: Sequence[int]) -> ScanState:
  """Scales a picture, keeping its proportions, to the largest size within a shape.

  Args:
    scan: State of the scan, a volume of one slice.
    shape: Sizes along x and y, in pixels.
  """
  size = np.array(scan.image.shape[:2]) * grid.spacing(scan.affine)[:2]
  step = float((size / np.array(shape)).max())
  scaled = resample(scan, (step, step, 1.0))
  return scaled._replace(measured={'spacing_mm': round(step, 4)})


def _closed(mask: np.ndarray, spacing: np.ndarray, radius: float) -> np.ndarray:
  """Closes gaps of a mask [X, Y] that are narrower than twice `radius` in mm."""
  margin = [int(np.ceil(radius / size)) + 1 for size in spacing]
  padded = np.pad(mask, [(m, m) for m in margin])
  grown = ndimage.distance_transform_edt(~padded, sampling=spacing) <= radius
  closed = ndimage.distance_transform_edt(grown, sampling=spacing) > radius
  return closed[margin[0] : -margin[0], margin[1] : -margin[1]] | mask
