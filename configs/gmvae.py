"""Variational auto-encoder with a mixture as its prior (You et al. 2019).

  python -m uad_jax.main --config=configs/gmvae.py --workdir=runs/gmvae

A spatial latent: `--config.method.bottleneck=spatial --config.method.latent=1`;
c_lambda then holds for each place. The weight of the restoration, the papers' score, is
what `uad_jax.choose_weight` found best of 0 to 3 on healthy scans; it takes 50 steps,
longer ones, where You et al. take 500 (`configs/you2019.py`).

Arguments: `demo` (default), `slices`, `volumes`, `ixi`, `ixi128`, `folder`, `cohort`.
"""

from uad_jax import base_config


def get_config(arg: str = 'demo'):
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
