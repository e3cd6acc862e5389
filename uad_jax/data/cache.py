"""Function that returns the path of the package's cache folder.

The folder keeps compiled jax programs between runs.
"""

import os
import pathlib


def folder() -> pathlib.Path:
  """Returns the path of the package's cache folder.

  The environment variable UAD_CACHE can set it; the default is ~/.cache/uad_jax.
  """
  return pathlib.Path(os.environ.get('UAD_CACHE', '~/.cache/uad_jax')).expanduser()
