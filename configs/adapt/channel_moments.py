"""Channel moments of source and target scans matched (`adapt.channel_moments`).

For methods with group normalisation; the source scans are needed.
"""

import pathlib

from uad_jax.registry import read_config

BASE = pathlib.Path(__file__).with_name('base.py')


def get_config(_: str = ''):
  """Returns the config; no network is trained, and thresholds are the source run's."""
  config = read_config(BASE, '')
  config.few_shot.channel_moments = dict()
  config.steps = ('one pass',)  # for each layer
  config.sees_source = True
  return config
