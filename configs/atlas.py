"""Voxelwise z-score against the aligned healthy scans.

python -m uad_jax.main --config=configs/atlas.py --workdir=runs/atlas
"""

from uad_jax import base_config


def get_config(arg: str = 'demo'):
  config = base_config.get_config(arg)
  config.method.update(name='atlas', bins=16, smooth=1.0, floor=0.01)
  config.steps = (200,)  # batches that are counted
  config.scores.update(
    standardised=dict(scorer='standardised'),
    residual=dict(scorer='residual'),
  )
  return config
