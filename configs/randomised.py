"""Another config, trained on random contrasts, bias fields, resolutions and noise.

  python -m uad_jax.main --config=configs/randomised.py:vae:ixi \
    --workdir=runs/randomised

Arguments: METHOD, DATA or METHOD:DATA; METHOD is `dae_unc` (default; on `ixi` and
`ixi128` it does so anyway) or another config of one method in this folder, DATA is
`demo` (default), `slices`, `volumes`, `ixi`, `ixi128`, `ixi3d`, `folder`, `cohort`,
`stroke_flair`, `stroke_flair96`, `stroke_flair64` or `images`.

Domain randomisation (Tobin et al. 2017; Billot et al. 2023) by the adaptation
`randomise`: for a run that is to meet scanners of which it has seen no scan. The
voxelwise moments are those of the scans themselves. What it is worth:
docs/robustness.md.
"""

import pathlib

from uad_jax import base_config
from uad_jax.registry import read_config

HERE = pathlib.Path(__file__)
METHODS = (
  'dae_unc', 'ae', 'vae', 'cevae', 'gmvae', 'denoising_ae', 'ddpm', 'cold_diffusion',
  'dae',
)  # fmt: skip
"""Configs that it takes, the default first; all train a network."""


def get_config(arg: str = ''):
  """Makes the config for the argument `arg`, 'METHOD:DATA', 'METHOD' or 'DATA'."""
  method, data = base_config.method_and_data(arg, METHODS, tuple(base_config.DATA))
  config = read_config(HERE.with_name(f'{method}.py'), data)
  config.adapt.randomise = dict(base_config.RANDOMISE)
  return config
