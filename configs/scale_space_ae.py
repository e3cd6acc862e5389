"""Scale-space auto-encoders, one for each band of a pyramid (Baur et al. 2020).

  python -m uad_jax.main --config=configs/scale_space_ae.py --workdir=runs/scales

Arguments: `demo` (default), `slices`, `volumes`, `ixi`, `ixi128`, `folder`, `cohort`.
"""

from uad_jax import base_config


def get_config(arg: str = 'demo'):
  config, fine = base_config.get_config(arg), arg in base_config.FINE
  config.method.update(
    name='scale_space_ae',
    levels=3,
    widths=(32, 64) if fine else (16, 32),
    band_widths=(16, 32, 64, 64) if fine else (8, 16, 32),
    latent=64 if fine else 16,
    bottleneck='dense',
    dropout=0.0,
    bayesian=False,
  )
  config.steps = (1500,)
  config.adapt.ema = dict(decay=0.99)
  config.scores.update(
    residual=dict(scorer='residual'),
    scale_residual=dict(scorer='output', of='scale_residual'),
    ssim=dict(scorer='ssim'),
  )
  return config
