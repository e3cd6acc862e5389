"""Rectified flow from anomalous to healthy images in one step (after REFLECT, 2025).

  python -m uad_jax.main --config=configs/rectified_flow.py --workdir=runs/flow

Arguments, data sets of uad_jax/base_config: `demo` (default), `slices`, `ixi`,
`ixi128`, `folder`, `cohort`, `stroke_flair`, `stroke_flair96`, `stroke_flair64`,
`images`.

The second stage, which straightens the flow with pairs of its first stage, is off; with
`--config.method.reflow=4 --config.steps="(3000, 1000)"` it has 1000 steps, and the
first flow moves the images in 4.

Published: Dice 0.37 on T1 scans of ATLAS after training on IXI, and 0.27 after training
on slices of ATLAS without lesions. These are of the abstract of Mahe 2025 (arXiv
2510.24398), not of the paper of REFLECT, and no number here is comparable to them: the
flow of REFLECT moves latent codes of slices of 256 x 256.

Measured here (docs/results.md): AUPRC 0.510 on `demo` (1 seed, map `restored`; atlas
0.041), 0.085 on `ixi` (1 seed, map `restored`; atlas 0.342), 0.676 on `stroke_flair64`
(1 seed, map `residual_median5`; atlas 0.640). Cost at 128 x 128 (docs/methods.json) on
one core of an x86_64 machine: 1619 ms for a training step of 16 slices, 1488 MiB of
memory at the peak.
"""

from uad_jax import base_config


def get_config(arg: str = 'demo'):
  """Makes the config for the data set `arg`, a key of `base_config.DATA`."""
  config, fine = base_config.get_config(arg), arg in base_config.FINE
  config.method.update(
    name='rectified_flow',
    widths=(8, 16, 32, 64, 64) if fine else (8, 16, 32, 64),
    blocks=1,
    attention=8,
    heads=2,
    painters=('patch', 'constant', 'shift', 'texture'),
    share=0.8,
    steps=1,
    reflow=0,
    position=True,
  )
  config.batch_size = 16
  config.steps = (3000,)
  config.adapt.ema = dict(decay=0.99)
  config.scores.update(
    residual=dict(scorer='residual'),
    restored=dict(scorer='output', of='restored'),
    ssim=dict(scorer='ssim'),
  )
  return config
