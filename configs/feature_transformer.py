"""A transformer restores features from those of other places (You et al. 2022, UniAD).

  python -m uad_jax.main --config=configs/feature_transformer.py:ixi \
    --workdir=runs/feature_transformer

Arguments: as of configs/feature_network.py, whose network and weights it shares, but no
`volumes` and `ixi3d`; stages as of configs/fae.py.

Published (You et al. 2022): mean AUROC 0.965 of images and 0.968 of pixels on MVTec AD,
one model for fifteen classes.

Measured here (docs/results.md): AUPRC 0.037 on `demo` (3 seeds, map `novelty`; atlas
0.041), 0.009 on `ixi` (3 seeds, map `novelty`; atlas 0.342), 0.462 on `stroke_flair64`
(3 seeds, map `novelty`; atlas 0.640). Cost at 128 x 128 (docs/methods.json) on one core
of an x86_64 machine: 2324, 92, 2498 ms for a training step of 16 slices in its stages,
2520 MiB of memory at the peak.
"""

import pathlib

from uad_jax.registry import read_config

HERE = pathlib.Path(__file__)


def get_config(arg: str = 'demo'):
  """Makes the config for the data set `arg`, a key of `base_config.DATA`."""
  config = read_config(HERE.with_name('fae.py'), arg)
  shared = ('network', 'weights', 'share', 'cell', 'feature_widths')
  config.method = dict(
    name='feature_transformer',
    width=128,
    depth=4,
    heads=8,
    neighbours=3,
    jitter=20.0,
    **{name: config.method[name] for name in shared},
  )
  return config
