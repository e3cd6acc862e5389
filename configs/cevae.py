"""Context-encoding variational auto-encoder (Zimmerer et al. 2018).

  python -m uad_jax.main --config=configs/cevae.py --workdir=runs/cevae

Arguments, data sets of uad_jax/base_config: `demo` (default), `slices`, `volumes`,
`ixi`, `ixi128`, `folder`, `cohort`, `stroke_flair`, `stroke_flair96`, `stroke_flair64`,
`images`.

Measured (docs/results.md), means over seeds 0, 1 and 2 on slices of 64 x 64: minutes of
training, on two CPU cores (docs/comparison.md), and AUPRC on the test scans of the
anomaly map (in brackets) that each run chose on validation scans.

  demo (simulated)         6.0 minutes   AUPRC 0.100  (residual)
  ixi_percentile (heads)   7.6 minutes   AUPRC 0.094  (residual)

Cost at 128 x 128 (docs/methods.json) on one core of an x86_64 machine: 1544 ms for a
training step of 32 slices, 943 MiB of memory at the peak. Memory at 64 x 64 was not
measured.
"""

from uad_jax import base_config


def get_config(arg: str = 'demo'):
  """Makes the config for the data set `arg`, a key of `base_config.DATA`."""
  config, fine = base_config.get_config(arg), arg in base_config.FINE
  config.method.update(
    name='cevae',
    widths=(32, 64, 128, 128) if fine else (16, 32, 64),
    latent=128,
    beta=1.0,
    context=1.0,
    boxes=3,
    edge=20 / 128,
    dropout=0.0,
    bayesian=False,
  )
  config.steps = (1500,)
  config.adapt.ema = dict(decay=0.99)
  config.scores.update(
    residual=dict(scorer='residual'),
    combined=dict(scorer='gradient', of='kl', residual=True),
    ssim=dict(scorer='ssim'),
  )
  return config
