"""Nearest-neighbour distance of features in a bank of healthy ones (PatchCore).

  python -m uad_jax.main --config=configs/patchcore.py:ixi --workdir=runs/patchcore

Arguments, data sets of uad_jax/base_config: `demo` (default), `slices`, `ixi`,
`ixi128`, `folder`, `cohort`, `stroke_flair`, `stroke_flair96`, `stroke_flair64`,
`images`.

As published by Roth et al. 2022 ("Towards total recall in industrial anomaly
detection"), with two departures: the features are those of a network that masked
auto-encoding trains here on the healthy scans, or that the user has the weights of
(configs/feature_network.py), as nothing is downloaded; and the distances are not
reweighted by the density of the bank, which the paper does for the score of an image.

Measured here (docs/results.md): AUPRC 0.107 on `demo` (3 seeds, map `novelty`; atlas
0.041), 0.013 on `ixi` (3 seeds, map `novelty`; atlas 0.342), 0.433 on `stroke_flair64`
(3 seeds, map `novelty` or `novelty_median5`; atlas 0.640). Cost at 128 x 128
(docs/methods.json) on one core of an x86_64 machine: 2224, 188, 2666 ms for a training
step of 16 slices in its stages, 1220 MiB of memory at the peak.
"""

import pathlib

from uad_jax import base_config
from uad_jax.registry import read_config


def get_config(arg: str = 'demo'):
  """Makes the config for the data set `arg`, a key of `base_config.DATA`."""
  base_config.get_config(arg)
  config = read_config(pathlib.Path(__file__).with_name('feature_network.py'), arg)
  config.adapt.detector = dict(
    detector='knn',
    options=dict(k=1, coreset=1000),
    of='features',
    neighbourhood=3,
    bank=10_000,
  )
  config.steps = (*config.steps, base_config.one_pass(arg), 1)
  config.scores.novelty = dict(scorer='output', of='novelty')
  return config
