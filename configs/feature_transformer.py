"""A transformer restores features from those of other places (You et al. 2022, UniAD).

  python -m uad_jax.main --config=configs/feature_transformer.py:ixi \
    --workdir=runs/feature_transformer

Arguments: as of configs/feature_network.py, whose network and weights it shares, but no
`volumes` and `ixi3d`; stages as of configs/fae.py.

Published (You et al. 2022): mean AUROC 0.965 of images and 0.968 of pixels on MVTec AD,
one model for fifteen classes.

Measured here (docs/results.md, seed 0 where no number of seeds stands): AUPRC 0.040 on
`demo` (map `novelty`), whose atlas has 0.041 and chance 0.011; AUPRC 0.009 on `ixi`
(map `novelty`), whose atlas has 0.342 and chance 0.008; AUPRC 0.462 on `stroke_flair64`
(mean of three seeds, map `novelty`), whose atlas has 0.640 and chance 0.064. Cost at
128 x 128 (docs/methods.json) on one core of an x86_64 machine: 2324, 92, 2498 ms for a
training step of 16 slices in its stages, 2520 MiB of memory at the peak. A token is a
cell of 8 x 8 voxels (24 mm), larger than most of the lesions of `ixi`.
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
