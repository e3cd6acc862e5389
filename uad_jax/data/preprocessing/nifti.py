"""Functions that read NIfTI scans, labels and masks, and refuse unusable files."""

import os
import zlib
from collections.abc import Sequence
from typing import NamedTuple

import nibabel as nib
import numpy as np

SUFFIXES = ('.nii', '.nii.gz', '.img')
"""Suffixes of readable files; .img is of an Analyze pair, with its .hdr beside it."""


class BadScan(ValueError):
  """Error raised for a scan that cannot be used; its message names the file."""


class Volume(NamedTuple):
  """Image volume with its affine, in the orientation of its file.

  Attributes:
    data: Values [X, Y, Z].
    affine: 4x4 from voxel to mm (RAS).
    name: Path of the file, for messages.
  """

  data: np.ndarray
  affine: np.ndarray
  name: str


def read(
  source: str | os.PathLike | nib.spatialimages.SpatialImage,
  channel: int | None = None,
) -> Volume:
  """Reads a volume from a NIfTI file or a nibabel image, and checks shape and affine.

  The values are scaled by the slope and intercept of the file's header.

  Args:
    source: Path of the file, or the image.
    channel: Index of the volume to read from a 4-D file; None for a 3-D file.

  Raises:
    BadScan: The file is missing, damaged, complex, RGB or not one volume, or its affine
      cannot be inverted.
  """
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
  if min(shape[:3]) < 2:
    raise BadScan(
      f'{name} has shape {shape}; allowed is 2 voxels or more along each axis'
    )
  affine = np.asarray(image.affine, np.float64)
  if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-6:
    raise BadScan(
      f'{name} has a singular affine {affine[:3].round(3).tolist()}; allowed is one '
      'that can be inverted'
    )
  part = ... if channel is None else (..., channel)
  try:
    data = np.asanyarray(image.dataobj[part]).reshape(shape[:3])
  except (EOFError, OSError, ValueError, zlib.error) as error:
    raise BadScan(
      f'{name} ends before its last voxel or is damaged; allowed is a complete file'
    ) from error
  return Volume(data, affine, name)


def read_image(source, channel: int | None = None) -> Volume:
  """Reads a scan from a NIfTI file or a nibabel image, with its values as float32.

  The file is read and checked by `read`.
  """
  volume = read(source, channel)
  return volume._replace(data=np.asarray(volume.data, np.float32))


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
  if not np.isfinite(volume.data).all():
    raise BadScan(f'{volume.name} holds NaN or Inf; allowed are whole numbers')
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
    BadScan: The mask cannot be read, lies on another grid, is not finite, or is empty
      and may not be.
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
  if not name.endswith(SUFFIXES):
    raise BadScan(
      f'{name} is not NIfTI; allowed are files ending in {" or ".join(SUFFIXES)}'
    )
  if os.path.getsize(name) == 0:
    raise BadScan(f'{name} is an empty file; allowed is a complete NIfTI file')
  try:
    return nib.load(name), name
  except (
    nib.filebasedimages.ImageFileError,
    nib.spatialimages.HeaderDataError,
    EOFError,
    OSError,
    ValueError,
    zlib.error,
  ) as error:
    raise BadScan(
      f'{name} cannot be read as NIfTI, it is truncated or of another format; allowed '
      'is a complete NIfTI file'
    ) from error


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
  corners = np.stack(np.meshgrid(*[(0, n - 1) for n in scan.data.shape]), -1)
  corners = corners.reshape(-1, 3)
  places = nib.affines.apply_affine(volume.affine, corners)
  apart = np.abs(places - nib.affines.apply_affine(scan.affine, corners)).max()
  if apart > 0.5 * nib.affines.voxel_sizes(scan.affine).min():
    raise BadScan(
      f'{volume.name} lies up to {apart:.1f} mm from its scan {scan.name}; '
      'allowed is the grid of the scan'
    )
