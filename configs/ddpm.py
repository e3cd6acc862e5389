"""Diffusion in part and back with simplex noise, small enough for a laptop.

  python -m uad_jax.main --config=configs/ddpm.py --workdir=runs/ddpm

Arguments: `demo` (default), `slices`, `volumes`, `ixi`, `ixi128`, `folder`, `cohort`.
The published size is configs/wyatt2022.py; diffusion to 150 of 1000 instead of its 250
found lesions of the validation subjects better, and the distance from six ways back in
units of their spread (the diagonal variant of Behrendt et al. 2024) much better than
one residual, or than their full covariance (docs/tuning.md).
"""

from uad_jax import base_config


def get_config(arg: str = 'demo'):
  config, fine = base_config.get_config(arg), arg in base_config.FINE
  config.method.update(
    name='ddpm',
    widths=(8, 16, 32, 64, 64) if fine else (8, 16, 32, 64),
    blocks=1,
    attention=12 if arg == 'volumes' else 8,  # the coarsest grid is 12 x 12 x 12
    heads=2,
    schedule='linear',
    steps=1000,
    furthest=400,
    start=150,
    hops=10,
    samples=1,
    noise='simplex',
    octaves=6,
    persistence=0.8,
    coarsest=0.25,
    bounds=(0.0, 1.2),
    position=True,
  )
  config.batch_size = 16
  config.steps = (1500,)
  config.adapt.ema = dict(decay=0.99)
  config.scores.update(
    residual=dict(scorer='residual'),
    residual_smooth=dict(scorer='residual', smooth=1.0),
    mahalanobis=dict(scorer='monte_carlo', kind='mahalanobis', samples=6),
    ssim=dict(scorer='ssim'),
  )
  return config
