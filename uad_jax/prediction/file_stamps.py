"""Functions that tell by a stamp whether a file is the same as before."""

import hashlib
import os
from collections.abc import Mapping
from typing import Any


def stamp(path: str | os.PathLike | None) -> dict[str, Any] | None:
  """Returns size, time of change and SHA-256 of a file; None if there is none."""
  if not path or not os.path.isfile(path):
    return None
  status = os.stat(path)
  with open(path, 'rb') as file:
    digest = hashlib.file_digest(file, 'sha256').hexdigest()
  return {'bytes': status.st_size, 'changed': status.st_mtime_ns, 'sha256': digest}


def agrees(stored: Mapping | None, path: str | os.PathLike | None) -> bool:
  """Whether a file is the one that a stamp was taken of.

  The content is read only if the time of change differs.

  Args:
    stored: Stamp of the file, None for no file.
    path: The file, None for no file.
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
