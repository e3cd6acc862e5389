"""A student predicts the features of a teacher from their embedding (Deng and Li 2022).

  python -m uad_jax.main --config=configs/reverse_distillation.py:ixi \
    --workdir=runs/reverse_distillation

Arguments: as of configs/feature_network.py, whose network and weights it shares; stages
as of configs/fae.py.

Published (Deng and Li 2022): mean AUROC 0.985 of images on MVTec AD, with a wide
ResNet-50 of photographs. Not measured yet on brains.
"""

import pathlib

from uad_jax.registry import read_config

HERE = pathlib.Path(__file__)


def get_config(arg: str = 'demo'):
  """Makes the config for the data set `arg`, a key of `base_config.DATA`."""
  config = read_config(HERE.with_name('fae.py'), arg)
  shared = ('network', 'weights', 'share', 'cell', 'feature_widths')
  config.method = dict(
    name='reverse_distillation',
    widths=(64, 96, 128),
    **{name: config.method[name] for name in shared},
  )
  return config
