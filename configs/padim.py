"""A normal distribution of network features at each place of the brain (PaDiM).

  python -m uad_jax.main --config=configs/padim.py:ixi --workdir=runs/padim

Arguments, data sets of uad_jax/base_config: `demo` (default), `slices`, `ixi`,
`ixi128`, `folder`, `cohort`, `stroke_flair`, `stroke_flair96`, `stroke_flair64`,
`images`.

As published by Defard et al. 2021, with one departure: the features are those of a
network that masked auto-encoding trains here on the healthy scans, or that the user has
the weights of (configs/feature_network.py), as nothing is downloaded.

Measured here (docs/results.md): AUPRC 0.055 on `demo` (3 seeds, map `novelty`; atlas
0.041), 0.094 on `ixi` (3 seeds, map `novelty`; atlas 0.342), 0.407 on `stroke_flair64`
(3 seeds, map `novelty_median5`; atlas 0.640). Cost at 128 x 128 (docs/methods.json) on
one core of an x86_64 machine: 2221, 239 ms for a training step of 16 slices in its
stages, 1271 MiB of memory at the peak.
"""

import pathlib

from uad_jax import base_config
from uad_jax.registry import read_config


def get_config(arg: str = 'demo'):
  """Makes the config for the data set `arg`, a key of `base_config.DATA`."""
  base_config.get_config(arg)
  config = read_config(pathlib.Path(__file__).with_name('feature_network.py'), arg)
  config.adapt.padim = dict(
    of='features',
    components=12,
    bins=1 if arg in base_config.SINGLE else 16,
    smooth=1.0,
    floor=0.1,
  )
  config.steps = (*config.steps, base_config.one_pass(arg))
  config.scores.novelty = dict(scorer='output', of='novelty')
  return config
