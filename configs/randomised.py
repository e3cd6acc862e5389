"""Another config, trained on random contrasts, bias fields, resolutions and noise.

  python -m uad_jax.main --config=configs/randomised.py:vae:ixi \
    --workdir=runs/randomised

Arguments: METHOD, DATA or METHOD:DATA; METHOD is `dae_unc` (default; on `ixi` and
`ixi128` it does so anyway) or any other row of the tables that trains a network, DATA
is `demo` (default), `slices`, `volumes`, `ixi`, `ixi128`, `ixi3d`, `folder`, `cohort`,
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
  'dae_unc', 'guided_moments', 'voxelmorph', 'voxelmorph_diff', 'hypermorph',
  'learned_template', 'ae', 'vae', 'soft_introvae', 'cevae', 'gmvae', 'skip_ae',
  'scale_space_ae', 'denoising_ae', 'cae', 'aae', 'caae', 'fanogan', 'anovaegan', 'lsa',
  'glow', 'deep_svdd', 'gpnd', 'ocgan', 'dagmm', 'padim', 'patchcore', 'fae',
  'reverse_distillation', 'feature_transformer', 'vqvae_transformer',
  'latent_diffusion', 'ddpm', 'cold_diffusion', 'disyre', 'rectified_flow', 'dae',
)  # fmt: skip
"""Configs that it takes, the default first; all train a network."""


def get_config(arg: str = ''):
  """Makes the config for the argument `arg`, 'METHOD:DATA', 'METHOD' or 'DATA'."""
  method, data = base_config.method_and_data(arg, METHODS, tuple(base_config.DATA))
  config = read_config(HERE.with_name(f'{method}.py'), data)
  config.adapt.randomise = dict(base_config.RANDOMISE)
  return config
