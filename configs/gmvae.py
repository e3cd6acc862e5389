"""Variational auto-encoder with a Gaussian mixture as its prior (You et al. 2019).

  python -m uad_jax.main --config=configs/gmvae.py --workdir=runs/gmvae

Arguments, data sets of uad_jax/base_config: `demo` (default), `slices`, `volumes`,
`ixi`, `ixi128`, `folder`, `cohort`, `stroke_flair`, `stroke_flair96`, `stroke_flair64`,
`images`.

For a spatial latent: `--config.method.bottleneck=spatial --config.method.latent=1`;
c_lambda then holds for each place of the latent.

The restoration is the score of the papers. Its weight is the best of 0 to 3 by
`uad_jax.choose_weight` on healthy scans. It takes 50 long steps; You et al. take 500
shorter ones (configs/you2019.py).

Measured (docs/results.md), means over seeds 0, 1 and 2 on slices of 64 x 64: minutes of
training, on two CPU cores (docs/comparison.md), and AUPRC on the test scans of the
anomaly map (in brackets) that each run chose on validation scans.

  demo (simulated)         3.1 minutes   AUPRC 0.262  (restoration)
  ixi_percentile (heads)   3.6 minutes   AUPRC 0.202  (restoration)

Cost at 128 x 128 (docs/methods.json) on one core of an x86_64 machine: 786 ms for a
training step of 32 slices, 886 MiB of memory at the peak. Memory at 64 x 64 was not
measured.
"""

from uad_jax import base_config


def get_config(arg: str = 'demo'):
  """Makes the config for the data set `arg`, a key of `base_config.DATA`."""
  config, fine = base_config.get_config(arg), arg in base_config.FINE
  config.method.update(
    name='gmvae',
    widths=(32, 64, 128, 128) if fine else (16, 32, 64),
    bottleneck='dense',
    latent=128,
    latent_w=1,
    clusters=9,
    hidden=64,
    c_lambda=1.0,
    architecture='study',
    dropout=0.0,
    bayesian=False,
  )
  config.steps = (1500,)
  config.adapt.ema = dict(decay=0.99)
  config.scores.update(
    residual=dict(scorer='residual'),
    restoration=dict(
      scorer='restoration',
      weight=1.5,
      variant='you2019',
      steps=50,
      rates=(1e-2, 1e-3),
      switch=35,
      clip=100.0,
    ),
    ssim=dict(scorer='ssim'),
  )
  return config
