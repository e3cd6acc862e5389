"""Few-shot adversarial adaptation by pairs of scans (`adapt.fada`).

Arguments: `position` (default), classes are bins of the slice height; `painted`, with
and without synthetic lesions; `two`, a single class. The training data of the source
run are needed.
"""

import pathlib

from uad_jax.ops.choices import check_choice
from uad_jax.registry import read_config

BASE = pathlib.Path(__file__).with_name('base.py')
CLASSES = ('position', 'painted', 'two')


def get_config(classes: str = ''):
  """Returns the config; thresholds are the source run's.

  Args:
    classes: Classes of the pairs, see above.
  """
  classes = classes or CLASSES[0]
  check_choice('argument', classes, CLASSES)
  config = read_config(BASE, '')
  config.few_shot.fada = dict(
    classes=classes, gamma=0.2, bins=8, pairs=64, dcd_steps=1, objectives=(), stage=0
  )
  config.steps = (100, 300)  # the discriminator alone, then in turn with the method
  config.sees_source = True
  return config
