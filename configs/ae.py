"""Auto-encoder with a spatial bottleneck.

python -m uad_jax.main --config=configs/ae.py --workdir=runs/ae
"""

from uad_jax import base_config


def get_config(arg: str = 'demo'):
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
  )
  config.steps = (1500,)
  config.adapt.ema = dict(decay=0.99)
  config.scores.update(
    residual=dict(scorer='residual'),
    standardised=dict(scorer='standardised'),
    ssim=dict(scorer='ssim'),
  )
  return config
