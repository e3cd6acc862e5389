"""Histogram of each target scan matched to the source run's healthy scans.

The matching is a step of the preprocessing (Nyul and Udupa 1999), for `predict` too. It
needs no target scan, and is the control that every other adaptation has to beat.
"""

import pathlib

from uad_jax.registry import read_config


def get_config(_: str = ''):
  """Returns the config; thresholds are the source run's."""
  config = read_config(pathlib.Path(__file__).with_name('base.py'), '')
  config.histogram = True
  return config
