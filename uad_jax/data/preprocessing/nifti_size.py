"""Functions that check the sizes in NIfTI headers before anything is allocated."""

import gzip
import math
import os
import zlib
from typing import IO

import nibabel as nib

from uad_jax.data.preprocessing.bad_scan import BadScan

MOST_VOXELS = 2**30
"""Largest number of voxels of a volume, and of a grid that is resampled to."""

MOST_BYTES = 2**30
"""Size in bytes up to which a compressed file may expand without further conditions."""

MOST_EXPANSION = 100
"""Largest ratio of the expanded to the compressed size of a larger file."""

COUNTED_EXPANSION = 10
"""Ratio above which the bytes of a compressed file are counted before it is read."""


UNREADABLE = (
  nib.filebasedimages.ImageFileError,
  nib.spatialimages.HeaderDataError,
  nib.wrapstruct.WrapStructError,
  EOFError,
  KeyError,
  OSError,
  OverflowError,
  ValueError,
  zlib.error,
)
"""Errors of nibabel about files that it cannot read."""


def unreadable(name: str, error: Exception) -> BadScan:
  """Returns the error about a file that is damaged or not NIfTI, with its cause."""
  reason = f'{type(error).__name__}: {" ".join(str(error).split())}'
  return BadScan(
    f'{name} cannot be read as NIfTI ({reason}): it is truncated, of another format or '
    'has an invalid header; allowed is a complete NIfTI file'
  )


def check_file(name: str) -> None:
  """Checks that a NIfTI or Analyze file is as long as its header says.

  No memory is allocated for the voxels. If a compressed file would expand to more than
  `COUNTED_EXPANSION` times its size, it is decompressed once to count its bytes.

  Args:
    name: File ending in .nii, .nii.gz or .img, the last with its .hdr beside it.

  Raises:
    BadScan: The header is damaged, promises more voxels than are allowed or more than
      the file holds, or the file is damaged.
  """
  try:
    header = read_header(name)
    axes = int(header['dim'][0])
    shape = tuple(int(n) for n in header['dim'][1 : 1 + axes])
    voxel_bytes = header.get_data_dtype().itemsize
    offset = int(header['vox_offset'])
  except UNREADABLE as error:
    raise unreadable(name, error) from error
  if not 1 <= axes <= 7 or min(shape) < 1 or offset < 0:
    raise BadScan(
      f'{name} has a header with {axes} axes, shape {shape} and voxels from byte '
      f'{offset} on; allowed are 1 to 7 axes and sizes above 0'
    )
  check_voxels(shape[:3], name)
  _check_length(name, offset + math.prod(shape) * voxel_bytes)
  _check_extensions(name, header, offset)


def check_voxels(shape: tuple[int, ...], name: str) -> None:
  """Checks that a volume or a grid has at most `MOST_VOXELS` voxels.

  Args:
    shape: Sizes [3].
    name: Name of the volume or grid, for the message.

  Raises:
    BadScan: There are more voxels.
  """
  if math.prod(float(n) for n in shape) > MOST_VOXELS:
    raise BadScan(
      f'{name} has {" x ".join(f"{n:.6g}" for n in shape)} voxels; allowed are up to '
      f'{MOST_VOXELS:,}, so that its voxel size or its units may be wrong'
    )


def header_path(name: str) -> str:
  """Returns the path of the file that holds the header of an image file.

  >>> header_path('a.img'), header_path('A.IMG'), header_path('a.nii')
  ('a.hdr', 'A.HDR', 'a.nii')
  """
  if not name.lower().endswith('.img'):
    return name
  return name[: -len('.img')] + ('.HDR' if name.endswith('.IMG') else '.hdr')


def _header_file(name: str) -> IO[bytes]:
  """Opens the file that holds the header of an image file."""
  path = header_path(name)
  return gzip.open(path) if path.lower().endswith('.gz') else open(path, 'rb')


def read_header(name: str) -> nib.Nifti1Header:
  """Reads the header of a file, unchecked; an Analyze header as if it were NIfTI.

  Args:
    name: File ending in .nii, .nii.gz or .img, the last with its .hdr beside it.
  """
  with _header_file(name) as file:
    block = file.read(nib.Nifti2Header.sizeof_hdr)
  size = nib.Nifti2Header.sizeof_hdr
  two = size in (int.from_bytes(block[:4], o) for o in ('little', 'big'))
  kind = nib.Nifti2Header if two else nib.Nifti1Header
  # The fields that are read here lie at the same places in Analyze headers.
  return kind(block[: kind.sizeof_hdr], check=False)


def _check_extensions(name: str, header: nib.Nifti1Header, end: int) -> None:
  """Checks that header and extensions end where the voxels begin, in a single file.

  nibabel would allocate the size that an extension states.
  """
  if header_path(name) != name:
    return
  place = header.sizeof_hdr + 4
  if end < place:
    raise BadScan(
      f'{name} has a header that lets the voxels begin at byte {end}, within the '
      f'header; allowed are {place} and more'
    )
  with _header_file(name) as file:
    file.seek(place - 4)
    if file.read(1) in (b'', b'\0'):
      return
    while end - place >= 16:
      file.seek(place)
      order = 'little' if header.endianness == '<' else 'big'
      size = int.from_bytes(file.read(4), order, signed=True)
      if size < 16 or size % 16 or place + size > end:
        raise BadScan(
          f'{name} has an extension of its header with {size} bytes; allowed are '
          f'multiples of 16 up to the first voxel at byte {end}'
        )
      place += size


def _check_length(name: str, promised: int) -> None:
  """Compares the bytes that a header promises with those of the file."""
  size = os.path.getsize(name)
  message = (
    f'{name} has {size:,} bytes and its header promises {promised:,}; it ends before '
    'its last voxel or its header is damaged; allowed is a complete file'
  )
  if not name.lower().endswith('.gz'):
    if promised > size:
      raise BadScan(message)
    return
  if promised > max(MOST_BYTES, MOST_EXPANSION * size):
    raise BadScan(
      f'{name} has {size:,} bytes and expands to {promised:,}; allowed are up to '
      f'{MOST_BYTES:,}, or {MOST_EXPANSION} times the size of the file'
    )
  if promised <= COUNTED_EXPANSION * size:
    return
  try:
    with gzip.open(name) as file:
      while promised > 0 and (chunk := file.read(min(promised, 1 << 18))):
        promised -= len(chunk)
  except (EOFError, OSError, zlib.error) as error:
    raise BadScan(message) from error
  if promised > 0:
    raise BadScan(message)
