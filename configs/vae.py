"""Variational auto-encoder with a spatial latent.

python -m uad_jax.main --config=configs/vae.py --workdir=runs/vae

Restoration found lesions less well here than the standardised residual
(docs/tuning.md) and takes many times as long; it is in configs/you2019.py:vae and
configs/baur2021.py:vae.
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
    ssim=dict(scorer='ssim'),
  )
  return config
