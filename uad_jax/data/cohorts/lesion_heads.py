"""Functions that find brain and tissue in a healthy scan that lesions are put into."""

from collections.abc import Mapping, Sequence

import numpy as np
from scipy import ndimage

from uad_jax.data.cohorts import lesions
from uad_jax.data.preprocessing import (
  align,
  background,
  brainmask,
  grid,
  intensity,
  nifti,
  preprocess,
)

CHAIN = (('check', {}), ('brain_mask', {'trim': True}))
"""Preprocessing that estimates the brain mask of a scan on its native grid."""


def read_head(entry, label_map: Mapping[str, Sequence[int]]) -> lesions.Head:
  """Reads a healthy scan with its brain mask, its tissue and its place in MNI space.

  The brain is that of the anatomy labels, and tissue the brain without the labels of
  the ventricles. Without labels the brain mask is estimated as `predict` does it, and
  tissue found by `tissue_by_intensity`.

  Args:
    entry: Scan with its files, see `entry.Entry`.
    label_map: Mapping from a tissue class to its numbers in the label file.

  Raises:
    BadScan: The scan or its labels cannot be used.
  """
  scan = nifti.read_image(entry.image)
  nifti.check_values(scan)
  background.need_zero(scan.data, scan.name)
  if entry.labels is None:
    estimated = preprocess.prepare_scan(entry.image, CHAIN)
    brain = estimated.mask[..., 0] > 0
    tissue = tissue_by_intensity(scan.data, brain)
  else:
    labels = nifti.read_labels(entry.labels, scan)
    brain = brainmask.from_labels(labels, grid.spacing(scan.affine))
    tissue = (labels > 0) & ~np.isin(labels, label_map['ventricle'])
  to_scan, _ = align.register(scan.data, brain, scan.affine)
  return lesions.Head(scan.data, brain, tissue, scan.affine, to_scan)


def tissue_by_intensity(image: np.ndarray, brain: np.ndarray) -> np.ndarray:
  """Finds grey and white matter in a T1 scan: the brain without dark fluid.

  Fluid is darker than grey matter by more than the distance of grey and white matter
  (`intensity.tissue_peaks`), in the image smoothed by 1 voxel FWHM.

  Args:
    image: T1 scan, [X, Y, Z].
    brain: Brain mask, [X, Y, Z] bool.

  Returns:
    Mask of the tissue, [X, Y, Z] bool.
  """
  grey, white = intensity.tissue_peaks(image[brain].astype(np.float64))
  smooth = ndimage.gaussian_filter(image.astype(np.float32), 1 / grid.FWHM)
  return brain & (smooth > grey - (white - grey))
