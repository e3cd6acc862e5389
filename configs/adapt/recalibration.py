"""Thresholds set on the target scans; the model stays as it is.

With healthy scans of the training scanner as `--source` it calibrates a run on more
scans than its validation split has.
"""

import pathlib

from uad_jax.registry import read_config


def get_config(_: str = ''):
  """Returns the config."""
  config = read_config(pathlib.Path(__file__).with_name('base.py'), '')
  config.thresholds = 'target'
  return config
