"""Intensity thresholds, plain and equalised, of both signs; nothing is trained.

python -m uad_jax.main --config=configs/threshold.py --workdir=runs/threshold
"""

from uad_jax import defaults


def get_config(arg: str = 'demo'):
  config = defaults.get_config(arg)
  config.method.update(name='threshold', bins=256)
  for name in ('bright', 'dark', 'bright_equalised', 'dark_equalised'):
    config.scores[name] = dict(scorer='output', of=name)
  return config
