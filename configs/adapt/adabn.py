"""Statistics of batch normalisation re-estimated on target scans (`adapt.adabn`).

Argument: empty, to replace those of the source scans, or the number of records
(pseudo-count) as which these count in a mean of both.
"""

import pathlib

from uad_jax.registry import read_config

BASE = pathlib.Path(__file__).with_name('base.py')


def get_config(pseudo_count: str = ''):
  """Returns the config; no network is trained, and thresholds are the source run's."""
  config = read_config(BASE, '')
  config.few_shot.adabn = dict(mode='replace')
  if pseudo_count:
    config.few_shot.adabn = dict(mode='mix', pseudo_count=float(pseudo_count))
  config.at_once = True
  config.steps = ('one pass',)  # for each layer, if the scans do not fit one batch
  return config
