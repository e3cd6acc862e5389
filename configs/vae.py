"""Variational auto-encoder with a spatial latent.

python -m uad_jax.main --config=configs/vae.py --workdir=runs/vae

The weight of the restoration is what `uad_jax.choose_weight` found best of 0 to 3 on
healthy scans.
"""

from uad_jax import defaults


def get_config(arg: str = 'demo'):
  config, fine = defaults.get_config(arg), arg in defaults.FINE
  config.method.update(
    name='vae',
    widths=(8, 16, 32, 64, 128) if fine else (16, 32, 64, 128),
    latent=16,
    beta=1e-3,
    warm_up=200,
    position=True,
    architecture='default',
    dropout=0.0,
    bayesian=False,
  )
  config.steps = (1500,)
  config.adapt.ema = dict(decay=0.99)
  config.scores.update(
    residual=dict(scorer='residual'),
    standardised=dict(scorer='standardised'),
    restoration=dict(
      scorer='restoration',
      weight=1.5,
      variant='you2019',
      steps=50,
      rates=(5e-3, 2e-3),
      switch=100,
      clip=100.0,
    ),
    ssim=dict(scorer='ssim'),
  )
  return config
