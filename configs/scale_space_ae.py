"""Scale-space auto-encoders, one for each band of a pyramid (Baur et al. 2020).

  python -m uad_jax.main --config=configs/scale_space_ae.py --workdir=runs/scales

Arguments, data sets of uad_jax/base_config: `demo` (default), `slices`, `volumes`,
`ixi`, `ixi128`, `folder`, `cohort`, `stroke_flair`, `stroke_flair96`, `stroke_flair64`,
`images`.

Measured (docs/results.md), means over seeds 0, 1 and 2 on slices of 64 x 64: minutes of
training, on two CPU cores (docs/comparison.md), and AUPRC on the test scans of the
anomaly map (in brackets) that each run chose on validation scans.

  demo (simulated)         1.4 minutes   AUPRC 0.115  (residual)
  ixi_percentile (heads)   1.7 minutes   AUPRC 0.156  (residual)

Cost at 128 x 128 (docs/methods.json) on one core of an x86_64 machine: 374 ms for a
training step of 32 slices, 744 MiB of memory at the peak. Memory at 64 x 64 was not
measured.
"""

from uad_jax import base_config


def get_config(arg: str = 'demo'):
  """Makes the config for the data set `arg`, a key of `base_config.DATA`."""
  config, fine = base_config.get_config(arg), arg in base_config.FINE
  config.method.update(
    name='scale_space_ae',
    levels=3,
    widths=(32, 64) if fine else (16, 32),
    band_widths=(16, 32, 64, 64) if fine else (8, 16, 32),
    latent=64 if fine else 16,
    bottleneck='dense',
    dropout=0.0,
    bayesian=False,
  )
  config.steps = (1500,)
  config.adapt.ema = dict(decay=0.99)
  config.scores.update(
    residual=dict(scorer='residual'),
    scale_residual=dict(scorer='output', of='scale_residual'),
    ssim=dict(scorer='ssim'),
  )
  return config
