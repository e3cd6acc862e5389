"""Domain-adversarial training on source and target scans (`adapt.dann`).

Argument: the final factor of the reversed gradient, 1 by default. The training data of
the source run are needed.
"""

import pathlib

from uad_jax.registry import read_config

BASE = pathlib.Path(__file__).with_name('base.py')


def get_config(weight: str = ''):
  """Returns the config; thresholds are the source run's.

  Args:
    weight: Final factor of the reversed gradient, above 0.
  """
  config = read_config(BASE, '')
  config.steps = (300,)
  config.few_shot.dann = dict(
    weight=float(weight or 1), steps=300, widths=(64, 64), objectives=(), stage=0
  )
  config.sees_source = True
  return config
