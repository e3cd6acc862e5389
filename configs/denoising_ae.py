"""Denoising auto-encoder with coarse noise, small enough for a laptop.

  python -m uad_jax.main --config=configs/denoising_ae.py --workdir=runs/denoising_ae

Arguments: `demo` (default), `slices`, `volumes`, `ixi`, `ixi128`, `folder`, `cohort`.
The published size is configs/kascenas2022.py.
"""

from uad_jax import base_config


def get_config(arg: str = 'demo'):
  config, fine = base_config.get_config(arg), arg in base_config.FINE
  config.method.update(
    name='denoising_ae',
    widths=(8, 16, 32, 64, 64) if fine else (16, 32, 64, 64),
    blocks=1,
    deviation=0.2,
    cells=16,
    position=True,
  )
  config.batch_size = 16
  config.steps = (1200,)
  config.adapt.ema = dict(decay=0.99)
  config.scores.update(
    residual=dict(scorer='residual'),
    residual_smooth=dict(scorer='residual', smooth=1.0),
    ssim=dict(scorer='ssim'),
  )
  return config
