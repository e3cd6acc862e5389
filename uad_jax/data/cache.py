"""The cache folder of the package, which keeps compiled jax programs between runs."""

import os
import pathlib


def folder() -> pathlib.Path:
  """Path of the cache folder: $UAD_CACHE, or ~/.cache/uad_jax by default."""
  return pathlib.Path(os.environ.get('UAD_CACHE', '~/.cache/uad_jax')).expanduser()
