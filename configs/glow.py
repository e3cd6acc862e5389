"""Likelihood by an invertible network, against that of images in general (Glow).

  python -m uad_jax.main --config=configs/glow.py:ixi --workdir=runs/glow

Arguments, data sets of uad_jax/base_config: `demo` (default), `slices`, `ixi`,
`ixi128`, `folder`, `cohort`, `stroke_flair`, `stroke_flair96`, `stroke_flair64`,
`images`.

The sizes are a small part of the published ones, which are

  --config.method.steps=32 --config.method.hidden=512

and the published loss with outliers is

  --config.method.outlier_weight=6000

Published (Schirrmeister et al. 2020, CIFAR-10 against SVHN, as remembered): AUROC .09
by the likelihood alone, .94 by the difference, .99 with outliers; they were not
compared with here.

Measured here (docs/results.md): AUPRC 0.010 on `demo` (1 seed, map `surprisal_last`;
atlas 0.041), 0.010 on `ixi` (1 seed, map `surprisal_ratio`; atlas 0.342), 0.235 on
`stroke_flair64` (1 seed, map `surprisal_ratio_median5`; atlas 0.640). Cost at 128 x 128
(docs/methods.json) on one core of an x86_64 machine: 3522 ms for a training step of 16
slices, 1784 MiB of memory at the peak.
"""

from uad_jax import base_config


def get_config(arg: str = 'demo'):
  """Makes the config for the data set `arg`, a key of `base_config.DATA`."""
  config = base_config.get_config(arg)
  config.method.update(
    name='glow',
    levels=3,
    steps=8,
    hidden=64,
    noise=1 / 256,
    general='rearranged',
    outlier_weight=0.0,
    temperature=1000.0,
  )
  config.batch_size = 16
  config.steps = (1200,)
  config.optimiser.update(name='adamax', learning_rate=5e-4)
  config.scores.update(
    surprisal=dict(scorer='output', of='surprisal'),
    surprisal_ratio=dict(scorer='output', of='surprisal_ratio'),
    surprisal_last=dict(scorer='output', of='surprisal_last'),
  )
  return config
