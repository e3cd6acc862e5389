"""Mean and variance of each voxel re-estimated on target scans (`adapt.voxel_moments`).

Arguments: `histogram` matches the histograms of the target scans as well; `support`
does too, and judges no voxel where hardly any healthy brain lies.
"""

import pathlib

from uad_jax.ops.choices import check_choice
from uad_jax.registry import read_config


def get_config(arg: str = ''):
  """Returns the config; no network is trained, and thresholds are the source run's.

  Args:
    arg: '', 'histogram' or 'support'.
  """
  check_choice('argument', arg, ('', 'histogram', 'support'))
  config = read_config(pathlib.Path(__file__).with_name('base.py'), '')
  support = 0.1 if arg == 'support' else 0.0
  config.few_shot.voxel_moments = dict(pseudo_count=50.0, support=support)
  config.steps = ('one pass',)
  config.histogram = arg in ('histogram', 'support')
  return config
