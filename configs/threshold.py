"""Intensity thresholds, plain and equalised, of both signs; nothing is trained.

python -m uad_jax.main --config=configs/threshold.py --workdir=runs/threshold
"""

from uad_jax import base_config


def get_config(arg: str = 'demo'):
  config = base_config.get_config(arg)
  config.method.update(name='threshold')
  for rank, options in (('', {}), ('_equalised', dict(equalise=True, bins=256))):
    for sign in ('bright', 'dark'):
      row = dict(scorer='input_threshold', sign=sign, **options)
      config.scores[f'{sign}{rank}'] = row
  return config
