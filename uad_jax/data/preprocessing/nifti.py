"""Functions that read NIfTI scans, labels and masks, and refuse unusable files."""

import os
import zlib
from collections.abc import Sequence
from typing import NamedTuple

import nibabel as nib
import numpy as np

from uad_jax.data.preprocessing import nifti_header, nifti_size, nifti_voxels
from uad_jax.data.preprocessing.bad_scan import BadScan

SUFFIXES = ('.nii', '.nii.gz', '.img')
"""Suffixes of readable files, also in upper case; .img is of an Analyze pair, with its
.hdr beside it."""


class Picture(nib.Nifti1Image):
  """NIfTI image of one slice [X, Y, 1] made from a 2-D picture, see `picture.read`."""

  def __init__(self, volume: np.ndarray, affine: np.ndarray, path: str | os.PathLike):
    super().__init__(volume, affine, dtype=volume.dtype)
    self.path = os.fspath(path)

  def get_filename(self) -> str:
    """Returns the path of the picture's file, for messages."""
    return self.path


class Volume(NamedTuple):
  """Image volume with its affine, in the orientation of its file.

  Attributes:
    data: Values [X, Y, Z].
    affine: 4x4 from voxel to mm (RAS), also if the file states another unit.
    name: Path of the file, for messages.
    header: Header of the file, for `nifti_header.image_like`, see
      `nifti_header.of_scan`; None for a picture.
  """

  data: np.ndarray
  affine: np.ndarray
  name: str
  header: nib.analyze.AnalyzeHeader | None = None


def read(
  source: str | os.PathLike | nib.spatialimages.SpatialImage,
  channel: int | None = None,
) -> Volume:
  """Reads a volume from a NIfTI file or a nibabel image, and checks shape and affine.

  The values are scaled by the slope and intercept of the file's header, the affine by
  its unit of length.

  Args:
    source: Path of the file, or the image.
    channel: Index of the volume to read from a 4-D file; None for a 3-D file.

  Raises:
    BadScan: The file is missing, damaged, complex, RGB or not one volume, larger than
      allowed, or its affine is not plausible for a head.
  """
  return _read(source, channel, nifti_voxels.scaled)


def read_image(source, channel: int | None = None) -> Volume:
  """Reads a scan from a NIfTI file or a nibabel image, with its values as float32.

  The file is read and checked by `read`.

  Raises:
    BadScan: As `read`; or the values are beyond the range of float32.
  """
  volume = _read(source, channel, nifti_voxels.as_float32)
  low, high = float(volume.data.min()), float(volume.data.max())
  if np.isinf([low, high]).any() or max(-low, high) < nifti_voxels.SMALLEST:
    exact = _read(source, channel, nifti_voxels.scaled)
    if fault := nifti_voxels.range_fault(exact.data):
      raise BadScan(f'{volume.name} has {fault}')
  return volume


def _read(source, channel: int | None, values) -> Volume:
  """Reads a volume whose voxels come from `values`, a function of image and part."""
  image, name = _open(source)
  if image.get_data_dtype().fields is not None:
    raise BadScan(f'{name} holds RGB colours; allowed is one number per voxel')
  if image.get_data_dtype().kind == 'c':
    raise BadScan(f'{name} holds complex numbers; allowed are real ones')
  shape = image.shape
  if channel is not None:
    if len(shape) != 4 or shape[3] <= channel:
      raise BadScan(
        f'{name} has shape {shape}; allowed is a 4-D file with {channel + 1} volumes '
        'or more'
      )
    shape = shape[:3]
  if len(shape) < 3 or any(n != 1 for n in shape[3:]):
    raise BadScan(
      f'{name} has {len(shape)} dimensions {shape}; allowed is one 3-D volume per file'
    )
  if min(shape[: 2 if isinstance(source, Picture) else 3]) < 2:
    raise BadScan(
      f'{name} has shape {shape}; allowed is 2 voxels or more along each axis'
    )
  nifti_size.check_voxels(shape[:3], name)
  if isinstance(source, Picture):
    affine = np.asarray(image.affine, np.float64)
  else:
    affine = nifti_header.affine_in_mm(image, name)
  part = ... if channel is None else (..., channel)
  try:
    data = values(image, part).reshape(shape[:3])
  except (EOFError, OSError, ValueError, zlib.error) as error:
    raise BadScan(
      f'{name} ends before its last voxel or is damaged; allowed is a complete file'
    ) from error
  header = None if isinstance(image, Picture) else nifti_header.of_scan(image)
  return Volume(data, affine, name, header)


def read_labels(source, scan: Volume) -> np.ndarray:
  """Reads the anatomical labels of a scan from a file and checks their grid.

  The labels are [X, Y, Z] int32 and lie on the voxel grid of the scan.

  Args:
    source: Path of the label file, or a nibabel image.
    scan: The scan, for its grid.

  Raises:
    BadScan: The labels cannot be read, lie on another grid, are not finite, or none is
      above 0.
  """
  volume = read(source)
  check_grid(volume, scan)
  if not np.isfinite(volume.data).all() or np.abs(volume.data).max() >= 2**31:
    raise BadScan(
      f'{volume.name} holds NaN, Inf or numbers beyond 32 bits; allowed are whole '
      'numbers'
    )
  if not (volume.data > 0).any():
    raise BadScan(
      f'{volume.name} labels nothing; allowed is a file with labels above 0'
    )
  return np.rint(volume.data).astype(np.int32)


def read_mask(
  source,
  scan: Volume,
  may_be_empty: bool = False,
  values: Sequence[int] | None = None,
) -> np.ndarray:
  """Reads a mask of a scan from a file and checks its grid.

  The mask is [X, Y, Z] bool and lies on the voxel grid of the scan.

  Args:
    source: Path of the mask file, or a nibabel image.
    scan: The scan, for its grid.
    may_be_empty: Whether a mask without a voxel above 0 is allowed.
    values: Numbers of the file that count as true; None takes the voxels above half of
      the file's maximum.

  Raises:
    BadScan: The mask cannot be read, lies on another grid, is not finite, holds labels
      without `values`, or is empty or no soft mask where it may not be empty.
  """
  volume = read(source)
  check_grid(volume, scan)
  top = volume.data.max()
  if not np.isfinite(volume.data).all():
    raise BadScan(f'{volume.name} holds NaN or Inf; allowed are finite numbers')
  if top <= 0 and not may_be_empty:
    raise BadScan(f'{volume.name} is an empty mask; allowed is one with voxels above 0')
  if values is not None:
    return np.isin(np.rint(volume.data), values)
  if labels := nifti_voxels.labels_in(volume.data, may_be_empty):
    shown = ', '.join(str(n) for n in labels[:8]) + (', ...' if labels[8:] else '')
    remedy = (
      'name the numbers that are lesion by `lesion_values`'
      if may_be_empty
      else 'give a file of anatomical labels by --labels'
    )
    raise BadScan(
      f'{volume.name} holds the labels {shown}; allowed is a mask of one number beside '
      f'0 or a soft mask; {remedy}'
    )
  if not may_be_empty and (fault := nifti_voxels.soft_fault(volume.data)):
    raise BadScan(
      f'{volume.name} has {fault} and is no brain mask; allowed is a mask of one '
      'number beside 0, or a soft mask: values in [0, 1], most of them near 0 or 1'
    )
  return volume.data > max(top / 2, 0)


def check_values(volume: Volume) -> None:
  """Checks that the values of a volume are finite and not constant.

  Raises:
    BadScan: The volume holds NaN or Inf, or one value only.
  """
  bad = np.count_nonzero(~np.isfinite(volume.data))
  if bad:
    raise BadScan(
      f'{volume.name} holds NaN or Inf in {bad} voxels; allowed are finite numbers'
    )
  if volume.data.min() == volume.data.max():
    raise BadScan(
      f'{volume.name} is constant at {volume.data.flat[0]:g}; allowed is an image'
    )


def _open(source) -> tuple[nib.spatialimages.SpatialImage, str]:
  if isinstance(source, nib.spatialimages.SpatialImage):
    return source, source.get_filename() or 'the image given'
  name = os.fspath(source)
  if not os.path.isfile(name):
    raise BadScan(
      f'{name} is not a file; allowed is a NIfTI file ({", ".join(SUFFIXES)})'
    )
  if not name.lower().endswith(SUFFIXES):
    raise BadScan(
      f'{name} is not NIfTI; allowed are files ending in {" or ".join(SUFFIXES)}'
    )
  if os.path.getsize(name) == 0:
    raise BadScan(f'{name} is an empty file; allowed is a complete NIfTI file')
  nifti_size.check_file(name)
  try:
    with np.errstate(all='ignore'):  # of places that are refused or not used
      return nib.load(name), name
  except nifti_size.UNREADABLE as error:
    raise nifti_size.unreadable(name, error) from error


def check_grid(volume: Volume, scan: Volume) -> None:
  """Checks that a volume, such as a mask, lies on the voxel grid of its scan.

  The corners of the two grids may differ by half a voxel.

  Raises:
    BadScan: The shapes differ, or corners lie more than half a voxel apart.
  """
  if volume.data.shape != scan.data.shape:
    raise BadScan(
      f'{volume.name} has shape {volume.data.shape} and its scan {scan.name} has '
      f'{scan.data.shape}; allowed is the grid of the scan'
    )
  apart = nifti_header.corners_apart(volume.affine, scan.affine, scan.data.shape)
  if apart > 0.5 * nib.affines.voxel_sizes(scan.affine).min():
    raise BadScan(
      f'{volume.name} lies up to {apart:.1f} mm from its scan {scan.name}; '
      'allowed is the grid of the scan'
    )
