"""VQ-VAE and an autoregressive transformer over its codes.

python -m uad_jax.main --config=configs/vqvae_transformer.py --workdir=runs/vqvae
"""

from uad_jax import base_config


def get_config(arg: str = 'demo'):
  config, fine = base_config.get_config(arg), arg in base_config.FINE
  config.method.update(
    name='vqvae_transformer',
    widths=(16, 32, 64, 64) if fine else (16, 32, 64),
    units=1,
    codes=32,
    size=16,
    decay=0.99,
    commitment=0.25,
    width=64,
    depth=3,
    heads=4,
    rasters=4,
    likely=0.005,
  )
  config.steps = (1200, 2400)
  config.optimiser.update(name='adam', learning_rate=1e-3)
  config.scores.update(
    healing=dict(scorer='healing', smooth=2.0),
    likelihood=dict(scorer='likelihood'),
    residual=dict(scorer='residual'),
  )
  return config
