"""Functions that check whether a file has changed, by size, time and SHA-256."""

import hashlib
import os
from collections.abc import Mapping
from typing import Any


def stamp(path: str | os.PathLike | None) -> dict[str, Any] | None:
  """Returns size, modification time and SHA-256 of a file, its stamp.

  Args:
    path: The file, None for no file.

  Returns:
    Dict with 'bytes', 'changed' (ns) and 'sha256'; None if there is no such file.
  """
  if not path or not os.path.isfile(path):
    return None
  status = os.stat(path)
  with open(path, 'rb') as file:
    digest = hashlib.file_digest(file, 'sha256').hexdigest()
  return {'bytes': status.st_size, 'changed': status.st_mtime_ns, 'sha256': digest}


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
    if status.st_mtime_ns == stored['changed']:
      return True
    return stamp(path)['sha256'] == stored['sha256']
  except OSError:
    return False
