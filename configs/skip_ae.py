"""Bayesian skip auto-encoder (Baur et al. 2020).

  python -m uad_jax.main --config=configs/skip_ae.py --workdir=runs/skip_ae

Arguments, data sets of uad_jax/base_config: `demo` (default), `slices`, `volumes`,
`ixi`, `ixi128`, `folder`, `cohort`, `stroke_flair`, `stroke_flair96`, `stroke_flair64`,
`images`.

The dropout rate decides whether lesions are copied: compare `--config.method.dropout=`
0.2, 0.5 and 0.9. The bottleneck of the paper is spatial
(`--config.method.bottleneck=spatial`); in these small networks its AUPRC was at chance
at the rates 0.5 and 0.9 (docs/tuning.md).

Measured (docs/results.md), means over seeds 0, 1 and 2 on slices of 64 x 64: minutes of
training, on two CPU cores (docs/comparison.md), and AUPRC on the test scans of the
anomaly map (in brackets) that each run chose on validation scans.

  demo (simulated)         4.3 minutes   AUPRC 0.226  (mahalanobis)
  ixi_percentile (heads)   7.2 minutes   AUPRC 0.184  (mean)

Cost at 128 x 128 (docs/methods.json) on one core of an x86_64 machine: 1232 ms for a
training step of 32 slices, 982 MiB of memory at the peak. Memory at 64 x 64 was not
measured.
"""

from uad_jax import base_config


def get_config(arg: str = 'demo'):
  """Makes the config for the data set `arg`, a key of `base_config.DATA`."""
  config, fine = base_config.get_config(arg), arg in base_config.FINE
  config.method.update(
    name='skip_ae',
    widths=(32, 64, 128, 128) if fine else (16, 32, 64),
    latent=128,
    bottleneck='dense',
    dropout=0.9,
    drop_maps=False,
    bayesian=True,
  )
  config.steps = (1800,)
  config.adapt.ema = dict(decay=0.99)
  config.scores.update(
    mean=dict(scorer='monte_carlo', kind='mean', samples=16),
    mahalanobis=dict(scorer='monte_carlo', kind='mahalanobis', samples=16),
    residual=dict(scorer='residual'),
  )
  return config
