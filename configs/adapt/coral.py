"""Latent codes of source and target aligned by their moments (`adapt.coral`).

Arguments: `both` (default), covariances and means; `covariance`; `mean`. The training
data of the source run are needed.
"""

import pathlib

from uad_jax.ops.choices import choose
from uad_jax.registry import read_config

BASE = pathlib.Path(__file__).with_name('base.py')
WEIGHTS = {
  'both': dict(covariance=100.0, mean=0.1),
  'covariance': dict(covariance=100.0, mean=0.0),
  'mean': dict(covariance=0.0, mean=0.1),
}
"""Weights by moments. With the codes of `dae_unc` on IXI slices and intensities to the
power 1.5 either term is then about 0.02, a fifth of the prior image's L1 error; between
batches of one scanner it is at most a fifth of that."""


def get_config(arg: str = ''):
  """Returns the config; thresholds are the source run's.

  Args:
    arg: Moments to align, see above.
  """
  config = read_config(BASE, '')
  weights = choose('argument', arg or 'both', WEIGHTS)
  config.few_shot.coral = dict(**weights, objectives=(), stage=0)
  config.steps = (300,)
  config.sees_source = True
  return config
