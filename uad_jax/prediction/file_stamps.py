"""Functions that check whether a file has changed, by size, time and SHA-256.

A stamp covers what is read beside a file too: the .hdr file of an Analyze image, and
the pixel size that a JSON file states for a picture.
"""

import hashlib
import os
from collections.abc import Mapping
from typing import Any

from uad_jax.data.preprocessing import nifti_size, picture

BESIDE = ('header', 'spacing_mm')
"""Keys of a stamp about what is read beside a file."""


def stamp(path: str | os.PathLike | None) -> dict[str, Any] | None:
  """Returns size, modification time and SHA-256 of a file, its stamp.

  Args:
    path: The file, None for no file.

  Returns:
    Dict with 'bytes', 'changed' (ns) and 'sha256', and what `beside` returns; None if
    there is no such file.

  Raises:
    BadScan: The JSON file beside a picture states no usable pixel size.
  """
  if not path or not os.path.isfile(path):
    return None
  status = os.stat(path)
  with open(path, 'rb') as file:
    digest = hashlib.file_digest(file, 'sha256').hexdigest()
  content = {'bytes': status.st_size, 'changed': status.st_mtime_ns, 'sha256': digest}
  return content | beside(path)


def beside(path: str | os.PathLike) -> dict[str, Any]:
  """Returns what the files beside an image say about it; {} for most images.

  This is 'header', the SHA-256 of the .hdr file of an Analyze image, or 'spacing_mm',
  the pixel size that the JSON file of a picture states.

  Raises:
    BadScan: The JSON file states no usable pixel size.
  """
  name = os.fspath(path)
  header = nifti_size.header_path(name)
  if header != name and os.path.isfile(header):
    return {'header': stamp(header)['sha256']}
  stated = picture.stated_spacing(name) if picture.is_picture(name) else None
  return {'spacing_mm': list(stated)} if stated else {}


def is_same(
  path: str | os.PathLike, earlier: str | os.PathLike, stored: Mapping | None
) -> bool:
  """Returns whether a file is an earlier file, or holds what that file held.

  The content of a file at its earlier place may have changed.

  Args:
    path: The file.
    earlier: Path of the earlier file, which need not exist any more.
    stored: Stamp of the earlier file.
  """
  if os.path.abspath(path) == os.path.abspath(earlier):
    return True
  try:
    if os.path.samefile(path, earlier):
      return True
  except OSError:
    pass
  return bool(stored) and agrees(stored, path)


def agrees(stored: Mapping | None, path: str | os.PathLike | None) -> bool:
  """Returns whether a file is unchanged since its stamp was stored.

  The content is read only if the size agrees and the modification time differs.

  Args:
    stored: Earlier result of `stamp`, None for no file.
    path: The file, None for no file; no file agrees with no file.
  """
  if not stored or not path:
    return not stored and not path
  try:
    status = os.stat(path)
    if status.st_size != stored['bytes']:
      return False
    if any(stored.get(key) != beside(path).get(key) for key in BESIDE):
      return False
    if status.st_mtime_ns == stored['changed']:
      return True
    return stamp(path)['sha256'] == stored['sha256']
  except (OSError, picture.BadScan):
    return False
