"""Networks trained further on target scans, with painted lesions in some methods.

Arguments: `all` (default); `norms`, only the scales and shifts of normalisation layers;
`first`, only the first block of each network; `moments`, all, after the mean and
variance of each voxel were re-estimated (`voxel_moments`), for the methods that have
them; `moments_histogram`, and with matched histograms.
"""

import pathlib

from uad_jax.ops.choices import check_choice
from uad_jax.registry import read_config

LAYERS = {'norms': ('Norm', 'norm'), 'first': ('Block_0/', 'level0/', 'Conv_0/')}
FORMS = ('all', *LAYERS, 'moments', 'moments_histogram')


def get_config(arg: str = 'all'):
  """Returns the config; thresholds are the source run's.

  Args:
    arg: Name of the form, see above.
  """
  arg = arg or 'all'
  check_choice('argument', arg, FORMS)
  config = read_config(pathlib.Path(__file__).with_name('base.py'), '')
  moments = arg.startswith('moments')
  config.few_shot.finetune = dict(
    objectives=(), layers=LAYERS.get(arg, ()), stage=int(moments)
  )
  config.steps = (200,)
  if moments:
    config.few_shot.voxel_moments = dict(pseudo_count=50.0, stage=0)
    config.steps = ('one pass', 200)
  config.histogram = arg == 'moments_histogram'
  return config
