"""Bayesian skip auto-encoder (Baur et al. 2020).

  python -m uad_jax.main --config=configs/skip_ae.py --workdir=runs/skip_ae

The rate of the dropout decides whether lesions are copied: compare
`--config.method.dropout=` 0.2, 0.5 and 0.9. The paper's bottleneck is spatial
(`--config.method.bottleneck=spatial`); in these small networks it was at chance at
rates 0.5 and 0.9 (docs/tuning.md).

Arguments: `demo` (default), `slices`, `volumes`, `ixi`, `ixi128`, `folder`, `cohort`.
"""

from uad_jax import base_config


def get_config(arg: str = 'demo'):
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
