"""Mean and variance of each voxel re-estimated on target scans (`adapt.voxel_moments`).

Arguments: `histogram` matches the histograms of the target scans as well; `support`
does too, and judges no voxel where hardly any healthy brain lies; `calibrated` also
sets the thresholds on the target scans, the same that the moments are fitted to.
"""

import pathlib

from uad_jax.ops.choices import check_choice
from uad_jax.registry import read_config


def get_config(arg: str = ''):
  """Returns the config; no network is trained.

  Args:
    arg: '', 'histogram', 'support' or 'calibrated'; but for the last, thresholds are
      the source run's.
  """
  check_choice('argument', arg, ('', 'histogram', 'support', 'calibrated'))
  config = read_config(pathlib.Path(__file__).with_name('base.py'), '')
  support = 0.1 if arg in ('support', 'calibrated') else 0.0
  config.few_shot.voxel_moments = dict(pseudo_count=50.0, support=support)
  config.steps = ('one pass',)
  config.histogram = arg != ''
  if arg == 'calibrated':
    config.thresholds = 'target'
  return config
