"""Sphere around the features of healthy scans (Deep SVDD).

  python -m uad_jax.main --config=configs/deep_svdd.py:ixi --workdir=runs/deep_svdd

Arguments, data sets of uad_jax/base_config: `demo` (default), `slices`, `volumes`,
`ixi`, `ixi128`, `ixi3d`, `folder`, `cohort`, `stroke_flair`, `stroke_flair96`,
`stroke_flair64`, `images`.

`config.steps` is the training of the auto-encoder, one pass over the training scans for
the centre, and the training of the sphere. The soft boundary:

  --config.method.boundary=soft

The weight decay is 1e-3; that of the paper, 1e-6 (`configs/novelty_papers.py`), gives
the same on digits (.898 and .898, .902 and .903 in seeds 0 and 1; docs/digits.md).

Published (Ruff et al. 2018): mean AUROC .948 over the ten one-class tasks of MNIST and
.648 of CIFAR-10, for whole images.

Measured here (docs/results.md): AUPRC 0.034 on `demo` (3 seeds, map `novelty`; atlas
0.041), 0.008 on `ixi` (3 seeds, map `novelty`; atlas 0.342), 0.390 on `stroke_flair64`
(3 seeds, map `novelty_median5`; atlas 0.640). Cost at 128 x 128 (docs/methods.json) on
one core of an x86_64 machine: 1444, 68, 508 ms for a training step of 16 slices in its
stages, 1000 MiB of memory at the peak.
"""

from uad_jax import base_config


def get_config(arg: str = 'demo'):
  """Makes the config for the data set `arg`, a key of `base_config.DATA`."""
  config = base_config.get_config(arg)
  config.method.update(
    name='deep_svdd',
    widths=(32, 64, 32),
    boundary='one_class',
    nu=0.1,
    decay=1e-3,
  )
  config.batch_size = 2 if arg in base_config.VOLUMES else 16
  config.steps = (400, base_config.one_pass(arg), 600)
  config.optimiser.update(name='adam', learning_rate=1e-3)
  config.scores.novelty = dict(scorer='output', of='novelty')
  return config
