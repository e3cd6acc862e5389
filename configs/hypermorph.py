"""A network registers the mean of healthy scans at any smoothness (HyperMorph).

  python -m uad_jax.main --config=configs/hypermorph.py:ixi3d --workdir=runs/hypermorph

Arguments: as of configs/voxelmorph.py, with the same stages, steps, batches and scores:
`demo` (default), `slices`, `volumes`, `ixi`, `ixi128`, `ixi3d`, `folder`, `cohort`,
`stroke_flair`, `stroke_flair96`, `stroke_flair64`.

The variants `weight_*` are inferences of the one trained network at several weights of
the smoothness, 0 to 1; `--config.method.weight` is that of the run itself. Each weight
of an own network would be a training of configs/voxelmorph.py.
"""

import pathlib

from uad_jax.registry import read_config

HERE = pathlib.Path(__file__)

WEIGHTS = {'weight_0p1': 0.1, 'weight_0p5': 0.5, 'weight_0p9': 0.9}
"""Weights of the smoothness, by variant."""


def get_config(arg: str = 'demo'):
  """Makes the config for the data set `arg`, a key of `base_config.DATA`."""
  config = read_config(HERE.with_name('voxelmorph.py'), arg)
  shared = ('bins', 'encoder', 'pairing', 'similarity', 'window', 'squarings')
  config.method = dict(
    name='hypermorph',
    decoder=config.method.decoder[: len(config.method.encoder) + 1],
    hidden=(64, 64, 64, 64),
    noise=0.05,
    ends=0.2,
    weight=0.5,
    **{name: config.method[name] for name in (*shared, 'smooth', 'floor')},
  )
  config.variant_scores = ('standardised',)
  for name, weight in WEIGHTS.items():
    config.variants[name] = dict(strength=weight)
  return config
