"""The configs that there are, by kind, and the shapes of their data sets."""

from tests.conftest import ROOT

PRESETS = {
  # config whose argument is METHOD, DATA or METHOD:DATA: its methods, the default first
  'baur2021': (
    'vae', 'vae_bayesian', 'ae', 'ae_spatial', 'ae_bayesian', 'cevae', 'gmvae',
    'gmvae_spatial', 'cae', 'aae', 'caae', 'fanogan', 'anovaegan',
  ),
  'you2019': ('gmvae', 'vae'),
  'chen2018': ('caae', 'aae'),
}  # fmt: skip


FILES = {path.stem for path in (ROOT / 'configs').glob('*.py')}


SHAPES = {
  'demo': (64, 64), 'ixi': (64, 64), 'folder': (64, 64), 'slices': (128, 128),
  'ixi128': (128, 128), 'volumes': (96, 96, 96), 'cohort': (128, 128),
}  # fmt: skip
