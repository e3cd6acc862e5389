"""Names of all configs, by kind, and the shapes of their data sets."""

from tests.conftest import ROOT

PRESETS = {
  # config whose argument is METHOD, DATA or METHOD:DATA: its methods, the default first
  'baur2021': (
    'vae', 'vae_bayesian', 'ae', 'ae_spatial', 'ae_bayesian', 'cevae', 'gmvae',
    'gmvae_spatial', 'cae', 'aae', 'caae', 'fanogan', 'anovaegan',
  ),
  'you2019': ('gmvae', 'vae'),
  'chen2018': ('caae', 'aae'),
  'novelty_papers': (
    'deep_svdd', 'glow', 'lsa', 'soft_introvae', 'gpnd', 'ocgan', 'fae',
    'reverse_distillation', 'feature_transformer', 'patchcore', 'padim',
  ),
}  # fmt: skip

PRESET_ROWS = [
  (name, method) for name, methods in PRESETS.items() for method in methods
]
"""Each preset with each of its methods."""

PUBLISHED = {
  **dict.fromkeys(name for name in PRESETS if name[-4:].isdigit()),
  'chen2018': 'caae',
  'pinaya2021': 'vqvae_transformer',
  'kascenas2022': 'denoising_ae',
  'wyatt2022': 'ddpm',
}
"""Every config named by one paper, with the small config whose sizes its demo has."""

FILES = {path.stem for path in (ROOT / 'configs').glob('*.py')}


SHAPES = {
  'demo': (64, 64), 'ixi': (64, 64), 'folder': (64, 64), 'slices': (128, 128),
  'ixi128': (128, 128), 'ixi3d': (56, 64, 56), 'volumes': (96, 96, 96),
  'cohort': (128, 128),
  'stroke_flair': (128, 128), 'stroke_flair96': (96, 96), 'stroke_flair64': (64, 64),
  'images': (128, 128),
}  # fmt: skip
