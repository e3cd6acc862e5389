"""A student predicts the features of a teacher from their embedding (Deng and Li 2022).

  python -m uad_jax.main --config=configs/reverse_distillation.py:ixi \
    --workdir=runs/reverse_distillation

Arguments: as of configs/feature_network.py, whose network and weights it shares; stages
as of configs/fae.py.

Published (Deng and Li 2022): mean AUROC 0.985 of images on MVTec AD, with a wide
ResNet-50 of photographs.

Measured here (docs/results.md): AUPRC 0.087 on `demo` (3 seeds, map `novelty`; atlas
0.041), 0.037 on `ixi` (3 seeds, map `novelty`; atlas 0.342), 0.060 on `stroke_flair64`
(3 seeds, map `novelty_median5`; atlas 0.640). Cost at 128 x 128 (docs/methods.json) on
one core of an x86_64 machine: 2178, 88, 1457 ms for a training step of 16 slices in its
stages, 1221 MiB of memory at the peak.
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
