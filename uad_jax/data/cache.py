"""Functions that choose the cache folder, which keeps compiled JAX programs."""

import functools
import os
import pathlib
import sys
import tempfile


def folder() -> pathlib.Path | None:
  """Returns the path of the package's cache folder, and creates it if it is missing.

  The environment variable UAD_CACHE sets the folder; the default is ~/.cache/uad_jax.
  If that folder cannot be written, or there is no home folder, `temporary()` is used
  instead.

  Returns:
    Path of a folder that can be written; None if there is none.
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
  """Returns the path of a cache folder in the system's folder for temporary files."""
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
