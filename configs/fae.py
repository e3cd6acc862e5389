"""Auto-encoder of features, by structural similarity (Meissen et al. 2022).

  python -m uad_jax.main --config=configs/fae.py:ixi --workdir=runs/fae

Arguments: as of configs/feature_network.py, whose network and weights it shares.

`config.steps` is the training of the network of features, one pass over the training
scans for the scale of the features, and the training of the auto-encoder. With
`--config.method.network=resnet50` the first stage falls away.

Published (Meissen et al. 2022): better than auto-encoders of images on BraTS and MSLUB;
in the benchmark of Frotscher et al. 2025 the best of eight methods on T1 scans with
tumours (Dice 0.437), with features of photographs at higher resolution.

Measured here (docs/results.md): AUPRC 0.037 on `demo` (1 seed, map `novelty`; atlas
0.041), 0.033 on `ixi` (1 seed, map `novelty`; atlas 0.342), 0.136 on `stroke_flair64`
(3 seeds, map `novelty` or `novelty_median5`; atlas 0.640). Cost at 128 x 128
(docs/methods.json) on one core of an x86_64 machine: 2198, 206, 4167 ms for a training
step of 16 slices in its stages, 2143 MiB of memory at the peak.
"""

import pathlib

from uad_jax import base_config
from uad_jax.registry import read_config

HERE = pathlib.Path(__file__)


def get_config(arg: str = 'demo'):
  """Makes the config for the data set `arg`, a key of `base_config.DATA`."""
  config = read_config(HERE.with_name('feature_network.py'), arg)
  shared = {
    name: config.method[name] for name in ('network', 'weights', 'share', 'cell')
  }
  config.method = dict(
    name='fae',
    feature_widths=config.method.widths,
    widths=(100, 150, 200),
    window=5,
    **shared,
  )
  config.steps = (*config.steps, base_config.one_pass(arg), 600)
  config.scores = dict(novelty=dict(scorer='output', of='novelty'))
  return config
