"""Auto-encoder with a spatial bottleneck.

  python -m uad_jax.main --config=configs/ae.py --workdir=runs/ae

Arguments, data sets of uad_jax/base_config: `demo` (default), `slices`, `ixi`,
`ixi128`, `folder`, `cohort`, `stroke_flair`, `stroke_flair96`, `stroke_flair64`,
`images`.

Measured (docs/results.md), means over seeds 0, 1 and 2 on slices of 64 x 64: minutes of
training, on two CPU cores (docs/comparison.md), and AUPRC on the test scans of the
anomaly map (in brackets) that each run chose on validation scans.

  demo (simulated)         7.0 minutes   AUPRC 0.109  (standardised in 2, ssim in 1)
  ixi_percentile (heads)   6.2 minutes   AUPRC 0.143  (standardised)

Cost at 128 x 128 (docs/methods.json) on one core of an x86_64 machine: 397 ms for a
training step of 32 slices, 731 MiB of memory at the peak. Memory at 64 x 64 was not
measured.
"""

from ml_collections.config_dict import placeholder

from uad_jax import base_config


def get_config(arg: str = 'demo'):
  """Makes the config for the data set `arg`, a key of `base_config.DATA`."""
  config, fine = base_config.get_config(arg), arg in base_config.FINE
  config.method.update(
    name='ae',
    widths=(8, 16, 32, 64, 128) if fine else (16, 32, 64, 128),
    latent=16,
    bottleneck='spatial',
    position=True,
    architecture='default',
    dropout=0.0,
    bayesian=False,
    concrete=placeholder(float),
    likelihood=placeholder(str),
  )
  config.steps = (1500,)
  config.adapt.ema = dict(decay=0.99)
  config.scores.update(
    residual=dict(scorer='residual'),
    standardised=dict(scorer='standardised'),
    ssim=dict(scorer='ssim'),
  )
  return config
