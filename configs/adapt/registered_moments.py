"""Moments of registered scans, re-estimated on scans of another scanner.

Adaptation `adapt.registered_moments`. The argument `histogram` matches the histograms
of the target scans as well.
"""

import pathlib

from uad_jax.ops.choices import check_choice
from uad_jax.registry import read_config


def get_config(arg: str = ''):
  """Returns the config; no network is trained, and thresholds are set on target scans.

  Each target scan is judged by the moments without it.

  Args:
    arg: '' or 'histogram'.
  """
  check_choice('argument', arg, ('', 'histogram'))
  config = read_config(pathlib.Path(__file__).with_name('base.py'), '')
  config.few_shot.registered_moments = dict(pseudo_count=4.0)
  config.steps = ('one pass',)
  config.histogram = arg == 'histogram'
  config.thresholds = 'target'
  return config
