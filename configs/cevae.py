"""Context-encoding variational auto-encoder (Zimmerer et al. 2018).

  python -m uad_jax.main --config=configs/cevae.py --workdir=runs/cevae

Arguments: `demo` (default), `slices`, `volumes`, `ixi`, `ixi128`, `folder`, `cohort`.
"""

from uad_jax import base_config


def get_config(arg: str = 'demo'):
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
