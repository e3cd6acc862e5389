"""Variational auto-encoder with a mixture as its prior (You et al. 2019).

  python -m uad_jax.main --config=configs/gmvae.py --workdir=runs/gmvae

A spatial latent: `--config.method.bottleneck=spatial --config.method.latent=1`;
c_lambda then holds for each place. Restoration, the papers' score, is a row of
`configs/baur2021.py:gmvae`.

Arguments: `demo` (default), `slices`, `volumes`, `ixi`, `ixi128`, `folder`, `cohort`.
"""

from uad_jax import defaults


def get_config(arg: str = 'demo'):
  config, fine = defaults.get_config(arg), arg in defaults.FINE
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
  config.steps = (600,)
  config.adapt.ema = dict(decay=0.99)
  config.scores.update(
    residual=dict(scorer='residual'),
    ssim=dict(scorer='ssim'),
  )
  return config
