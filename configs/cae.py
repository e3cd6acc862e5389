"""Constrained auto-encoder: reconstruction and image are to have the same code.

  python -m uad_jax.main --config=configs/cae.py --workdir=runs/cae

Arguments, data sets of uad_jax/base_config: `demo` (default), `slices`, `ixi`,
`ixi128`, `folder`, `cohort`, `stroke_flair`, `stroke_flair96`, `stroke_flair64`,
`images`.

At 128 x 128 the network is that of the comparative study of Baur et al. 2021 (1 625 777
parameters); at 64 x 64 it has half the width and one halving fewer. The study trains
with `adam_half`, batches of 8 and a rate of 1e-4 for up to 1 000 epochs:
configs/baur2021.py:cae.

Measured (docs/results.md), means over seeds 0, 1 and 2 on slices of 64 x 64: minutes of
training, on two CPU cores (docs/comparison.md), and AUPRC on the test scans of the
anomaly map (in brackets) that each run chose on validation scans.

  demo (simulated)         3.0 minutes   AUPRC 0.068  (ssim)
  ixi_percentile (heads)   4.1 minutes   AUPRC 0.060  (residual)

Cost at 128 x 128 (docs/methods.json) on one core of an x86_64 machine: 1031 ms for a
training step of 32 slices, 862 MiB of memory at the peak. Memory at 64 x 64 was not
measured.
"""

from uad_jax import base_config


def get_config(arg: str = 'demo'):
  """Makes the config for the data set `arg`, a key of `base_config.DATA`."""
  config, fine = base_config.get_config(arg), arg in base_config.FINE
  config.method.update(
    name='cae',
    widths=(32, 64, 128, 128) if fine else (16, 32, 64),
    latent=128,
    dropout=0.2,
    consistency=1.0,
    bayesian=False,
  )
  config.steps = (1200,)
  config.scores.update(
    residual=dict(scorer='residual'),
    ssim=dict(scorer='ssim'),
  )
  return config
