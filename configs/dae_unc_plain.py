"""The config `dae_unc` without random contrasts in training, its negative control.

  python -m uad_jax.main --config=configs/dae_unc_plain.py:ixi --workdir=runs/plain

Arguments: as of `dae_unc`, from which it differs for `ixi` and `ixi128` alone. What the
random contrasts are worth on scans of the training scanner: docs/results.md; of another
one: docs/robustness.md.
"""

import pathlib

from uad_jax.registry import read_config

HERE = pathlib.Path(__file__)


def get_config(arg: str = 'ixi'):
  """Makes the config for `arg`, an argument of configs/dae_unc.py."""
  config = read_config(HERE.with_name('dae_unc.py'), arg)
  if 'randomise' in config.adapt:
    del config.adapt.randomise
  return config
