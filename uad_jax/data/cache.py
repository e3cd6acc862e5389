"""Functions that return the path of the package's cache folder.

The folder keeps compiled jax programs between runs.
"""

import functools
import os
import pathlib
import sys
import tempfile


def folder() -> pathlib.Path | None:
  """Returns the path of the package's cache folder, which can be written.

  The environment variable UAD_CACHE can set it; the default is ~/.cache/uad_jax.
  Without a home folder, or where the folder cannot be written, it is a folder for
  temporary files; None if that cannot be written either.
  """
  return _usable(os.environ.get('UAD_CACHE', ''))


@functools.cache
def _usable(chosen: str) -> pathlib.Path | None:
  """The folder `chosen` by the user, or the first default that can be written."""
  for place in (chosen or '~/.cache/uad_jax', temporary()):
    path = _writable(place)
    if path is not None:
      return path
    if place == chosen:
      print(
        f'UAD_CACHE is {chosen}, which cannot be written; compiled programs are kept '
        f'in {temporary()}',
        file=sys.stderr,
      )
  return None


def temporary() -> pathlib.Path:
  """Returns the path of the user's cache in the folder for temporary files."""
  user = getattr(os, 'getuid', lambda: 'user')()
  return pathlib.Path(tempfile.gettempdir(), f'uad_jax-{user}')


def _writable(place: str | pathlib.Path) -> pathlib.Path | None:
  """The path of a folder, made if it is missing; None if it cannot be written."""
  try:
    path = pathlib.Path(place).expanduser()
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    tempfile.TemporaryFile(dir=path).close()
  except (OSError, RuntimeError):  # RuntimeError: there is no home folder
    return None
  return path
