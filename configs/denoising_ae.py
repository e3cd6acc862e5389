"""Denoising auto-encoder with coarse noise, small enough for a laptop.

  python -m uad_jax.main --config=configs/denoising_ae.py --workdir=runs/denoising_ae

Arguments, data sets of uad_jax/base_config: `demo` (default), `slices`, `volumes`,
`ixi`, `ixi128`, `folder`, `cohort`, `stroke_flair`, `stroke_flair96`, `stroke_flair64`,
`images`.

The published size (Kascenas et al. 2022) is configs/kascenas2022.py.

Measured (docs/results.md), means over seeds 0, 1 and 2 on slices of 64 x 64: minutes of
training, on two CPU cores (docs/comparison.md), and AUPRC on the test scans of the
anomaly map (in brackets) that each run chose on validation scans.

  demo (simulated)         3.1 minutes   AUPRC 0.461  (residual_smooth)
  ixi_percentile (heads)   2.9 minutes   AUPRC 0.281  (residual)

Cost at 128 x 128 (docs/methods.json) on one core of an x86_64 machine: 256 ms for a
training step of 16 slices, 610 MiB of memory at the peak. Memory at 64 x 64 was not
measured.
"""

from uad_jax import base_config


def get_config(arg: str = 'demo'):
  """Makes the config for the data set `arg`, a key of `base_config.DATA`."""
  config, fine = base_config.get_config(arg), arg in base_config.FINE
  config.method.update(
    name='denoising_ae',
    widths=(8, 16, 32, 64, 64) if fine else (16, 32, 64, 64),
    blocks=1,
    deviation=0.2,
    cells=16,
    position=True,
  )
  config.batch_size = 16
  config.steps = (1200,)
  config.adapt.ema = dict(decay=0.99)
  config.scores.update(
    residual=dict(scorer='residual'),
    residual_smooth=dict(scorer='residual', smooth=1.0),
    ssim=dict(scorer='ssim'),
  )
  return config
