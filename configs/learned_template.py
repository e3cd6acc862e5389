"""A template is learnt with the network that registers it to each scan.

  python -m uad_jax.main --config=configs/learned_template.py:ixi3d \
    --workdir=runs/learned_template

Arguments: as of configs/voxelmorph.py, with the same stages, steps, batches and scores:
`demo` (default), `slices`, `volumes`, `ixi`, `ixi128`, `ixi3d`, `folder`, `cohort`,
`stroke_flair`, `stroke_flair96`, `stroke_flair64`. Slices have a template for each
height, decoded from the height; volumes have one for all.
"""

import pathlib

from uad_jax import base_config
from uad_jax.registry import read_config

HERE = pathlib.Path(__file__)


def get_config(arg: str = 'demo'):
  """Makes the config for the data set `arg`, a key of `base_config.DATA`."""
  config = read_config(HERE.with_name('voxelmorph.py'), arg)
  shared = ('bins', 'encoder', 'window', 'squarings', 'smooth', 'floor')
  config.method = dict(
    name='learned_template',
    attribute='none' if arg in base_config.SINGLE else 'height',
    template=(32, 32, 16, 16),
    decoder=config.method.decoder[: len(config.method.encoder) + 1],
    similarity='ncc',
    smoothness=1.0,
    magnitude=0.01,
    centring=1.0,
    memory=100,
    **{name: config.method[name] for name in shared},
  )
  return config
