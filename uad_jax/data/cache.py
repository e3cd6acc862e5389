"""Where compiled programs are kept between runs."""

import os
import pathlib


def folder() -> pathlib.Path:
  """The folder that `UAD_CACHE` names, or ~/.cache/uad_jax."""
  return pathlib.Path(os.environ.get('UAD_CACHE', '~/.cache/uad_jax')).expanduser()
