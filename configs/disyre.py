"""U-Net that removes disentangled anomalies, several times (DISYRE v2, MICCAI 2024).

  python -m uad_jax.main --config=configs/disyre.py --workdir=runs/disyre

Arguments, data sets of uad_jax/base_config: `demo` (default), `slices`, `ixi`,
`ixi128`, `folder`, `cohort`, `stroke_flair`, `stroke_flair96`, `stroke_flair64`,
`images`.

Published: pixel AP 0.808 and best possible Dice 0.747 on T2 scans of BraTS20 (n = 369)
after training on CamCAN. These are of a notebook of the authors' later program, not of
a table of the paper, and no number here is comparable to them: other scans, slices of
64 x 64, and minutes of training. In a neutral benchmark (Frotscher 2025) DISYRE leads
in 7 of 8 columns, with Dice 0.645 on BraTS T2 at a threshold from validation scans.

Ten evaluations of the network restore a slice: from degrees 0.5 and 1, each in one step
and in four.

Measured here (docs/results.md): AUPRC 0.526 on `demo` (1 seed, map `restored`; atlas
0.041), 0.262 on `ixi` (1 seed, map `residual`; atlas 0.342), 0.663 on `stroke_flair64`
(1 seed, map `residual_median5`; atlas 0.640). Cost at 128 x 128 (docs/methods.json) on
one core of an x86_64 machine: 1597 ms for a training step of 16 slices, 1497 MiB of
memory at the peak.
"""

from uad_jax import base_config


def get_config(arg: str = 'demo'):
  """Makes the config for the data set `arg`, a key of `base_config.DATA`."""
  config, fine = base_config.get_config(arg), arg in base_config.FINE
  config.method.update(
    name='disyre',
    widths=(8, 16, 32, 64, 64) if fine else (8, 16, 32, 64),
    blocks=1,
    attention=8,
    heads=2,
    textures=('patch', 'texture'),
    intensities=('shift',),
    share=0.7,
    spread=2.0,
    starts=(0.5, 1.0),
    steps=(1, 4),
    position=True,
  )
  config.batch_size = 16
  config.steps = (3000,)
  config.adapt.ema = dict(decay=0.99)
  config.scores.update(
    restored=dict(scorer='output', of='restored'),
    residual=dict(scorer='residual'),
    ssim=dict(scorer='ssim'),
  )
  return config
