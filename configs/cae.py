"""The constrained auto-encoder: the reconstruction has the code of the image.

  python -m uad_jax.main --config=configs/cae.py --workdir=runs/cae

At 128 x 128 the network is that of the comparative study of Baur et al. 2021 (1 625 777
parameters), at 64 x 64 one of half the width and one halving fewer. The study trains
by `adam_half` with batches of 8 at 1e-4 for up to 1 000 epochs:
configs/baur2021.py:cae.
"""

from uad_jax import base_config


def get_config(arg: str = 'demo'):
  config, fine = base_config.get_config(arg), arg in base_config.FINE
  config.method.update(
    name='cae',
    widths=(32, 64, 128, 128) if fine else (16, 32, 64),
    latent=128,
    dropout=0.2,
    consistency=1.0,
    bayesian=False,
  )
  config.steps = (1200,)
  config.scores.update(
    residual=dict(scorer='residual'),
    ssim=dict(scorer='ssim'),
  )
  return config
