"""A VQ-VAE and a diffusion of its codes.

python -m uad_jax.main --config=configs/latent_diffusion.py --workdir=runs/ldm
"""

from uad_jax import base_config


def get_config(arg: str = 'demo'):
  config, fine = base_config.get_config(arg), arg in base_config.FINE
  config.method.update(
    name='latent_diffusion',
    widths=(16, 32, 64) if fine else (16, 32),
    units=1,
    codes=64,
    size=4,
    decay=0.99,
    commitment=0.25,
    unet_widths=(32, 64),
    blocks=1,
    heads=2,
    schedule='linear',
    steps=1000,
    looks=(200, 400, 5),
    start=500,
    hops=25,
    healthy=0.975,
  )
  config.steps = (600, 1000, 30)
  config.optimiser.update(name='adam', learning_rate=1e-3)
  config.scores.update(
    healing=dict(scorer='healing', smooth=2.0),
    surprise=dict(scorer='output', of='surprise'),
    residual=dict(scorer='residual'),
  )
  return config
