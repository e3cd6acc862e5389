"""A network predicts a posterior of the velocity from the mean scan to each scan.

  python -m uad_jax.main --config=configs/voxelmorph_diff.py:ixi3d \
    --workdir=runs/voxelmorph_diff

Arguments: as of configs/voxelmorph.py, with the same stages, steps, batches and scores:
`demo` (default), `slices`, `volumes`, `ixi`, `ixi128`, `ixi3d`, `folder`, `cohort`,
`stroke_flair`, `stroke_flair96`, `stroke_flair64`. The map `uncertainty` is the
variance of the displacement over draws of the posterior. Its cost and what it reaches
were not measured yet; the network differs from that of `voxelmorph` for volumes by a
second output layer.
"""

import pathlib

from uad_jax.registry import read_config

HERE = pathlib.Path(__file__)


def get_config(arg: str = 'demo'):
  """Makes the config for the data set `arg`, a key of `base_config.DATA`."""
  config = read_config(HERE.with_name('voxelmorph.py'), arg)
  shared = ('bins', 'encoder', 'pairing', 'squarings', 'smooth', 'floor')
  config.method = dict(
    name='voxelmorph_diff',
    decoder=config.method.decoder[: len(config.method.encoder) + 1],
    noise=0.05,
    precision=10.0,
    samples=8,
    **{name: config.method[name] for name in shared},
  )
  config.scores.uncertainty = dict(scorer='output', of='displacement_variance')
  return config
