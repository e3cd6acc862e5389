"""Residual to the image's own smooth version; nothing is trained.

python -m uad_jax.main --config=configs/smoothing.py --workdir=runs/smoothing
"""

from uad_jax import base_config


def get_config(arg: str = 'demo'):
  config = base_config.get_config(arg)
  config.method.update(name='smoothing', sigma=3.0)
  config.scores.update(
    residual=dict(scorer='residual'),
    bright=dict(scorer='residual', sign='bright'),
    dark=dict(scorer='residual', sign='dark'),
  )
  return config
