"""A U-Net that restores synthetic anomalies step by step (after DISYRE).

python -m uad_jax.main --config=configs/cold_diffusion.py --workdir=runs/cold_diffusion
"""

from uad_jax import base_config


def get_config(arg: str = 'demo'):
  config, fine = base_config.get_config(arg), arg in base_config.FINE
  config.method.update(
    name='cold_diffusion',
    widths=(8, 16, 32, 64, 128) if fine else (16, 32, 64, 128),
    blocks=1,
    painters=('patch', 'constant', 'shift', 'texture'),
    share=0.8,
    steps=5,
    position=True,
  )
  config.batch_size = 16
  config.steps = (3000,)
  config.adapt.ema = dict(decay=0.99)
  config.scores.update(
    restored=dict(scorer='output', of='restored'),
    residual=dict(scorer='residual'),
    ssim=dict(scorer='ssim'),
  )
  return config
