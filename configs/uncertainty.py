"""Estimators of uncertainty beside each other, as gates and as scores.

  python -m uad_jax.main --config=configs/uncertainty.py:dropout:ixi \
    --workdir=runs/uncertainty/dropout

Arguments: METHOD, DATA or METHOD:DATA. METHOD is the source of the uncertainty:
`dropout` (default; an auto-encoder with Monte Carlo dropout, Gal and Ghahramani 2016),
`concrete` (with a learned dropout rate, Gal et al. 2017), `ensemble` (of five,
Lakshminarayanan et al. 2017), `swag` (Maddox et al. 2019), `laplace` (of the last
layer, Daxberger et al. 2021), `posterior` (draws of the latent of a variational
auto-encoder) or `heads` (of the decoder of `dae_unc`). DATA is `demo` (default),
`slices`, `ixi`, `ixi128`, `folder`, `cohort`, `stroke_flair`, `stroke_flair96`,
`stroke_flair64` or `images`.

Each run also has test-time augmentation, known transformations of the scan and, where
the method predicts it, the aleatoric variance. Rows NAME are residuals standardised by
an uncertainty, rows NAME_deviation the uncertainty itself. As a gate, a row is judged
by its recall of lesion voxels at 1 % of healthy ones; the section on uncertainty of
report.html compares the deviations with the errors.

Measured on `ixi`, seed 0 (`python -m benchmarks.uncertainty`): docs/uncertainty.md; a
source takes about 10 minutes of a core to train, and as long to evaluate.
"""

import pathlib

from uad_jax import base_config
from uad_jax.registry import read_config

HERE = pathlib.Path(__file__)
SOURCES = {
  # METHOD: the config that it starts from, the estimator of its own uncertainty
  'dropout': ('ae', dict(estimator='draws')),
  'concrete': ('ae', dict(estimator='draws')),
  'ensemble': ('ae', dict(estimator='members')),
  'swag': ('ae', dict(estimator='members')),
  'laplace': ('ae', dict(estimator='members')),
  'posterior': ('vae', dict(estimator='draws', of='sampled')),
  'heads': ('dae_unc', dict(estimator='members', of='prior')),
}
PASS = 50
"""Steps of the stage that collects the curvature for `laplace`."""


def get_config(arg: str = ''):
  """Makes the config for the argument `arg`, 'METHOD:DATA', 'METHOD' or 'DATA'."""
  source, data = base_config.method_and_data(
    arg, tuple(SOURCES), tuple(base_config.DATA)
  )
  name, estimator = SOURCES[source]
  config = read_config(HERE.with_name(f'{name}.py'), data)
  change = {
    'dropout': _dropout,
    'concrete': _concrete,
    'ensemble': _ensemble,
    'swag': _swag,
    'laplace': _laplace,
  }
  change.get(source, lambda config: None)(config)
  estimators = {
    source: estimator,
    'augmented': dict(estimator='augmented'),
    'transformed': dict(estimator='transformed', mirror=True),
    'predicted': dict(estimator='predicted'),
  }
  for row, options in estimators.items():
    scorer = dict(scorer='uncertainty', **options)
    config.scores[row] = dict(scorer)
    config.scores[f'{row}_deviation'] = dict(scorer, kind='deviation', sign='absolute')
  config.scores.total = dict(scorer='uncertainty', predicted=True, **estimator)
  if name == 'dae_unc':
    config.variants, config.variant_scores = {}, ()  # inferences without uncertainty
    field = dict(scorer='uncertainty', of='displacement', kind='deviation')
    config.scores.field_augmented = dict(field, estimator='augmented', sign='absolute')
    config.scores.field_transformed = dict(
      field, estimator='transformed', mirror=True, sign='absolute'
    )
  return config


def _dropout(config):
  config.method.update(dropout=0.2, bayesian=True)


def _concrete(config):
  config.method.update(dropout=0.1, bayesian=True, concrete=0.01)


def _ensemble(config):
  config.adapt.ensemble = dict(members=5)


def _swag(config):
  """The averages of `ema` would hide the draws, and a path needs a learning rate."""
  del config.adapt.ema
  config.optimiser.schedule = 'constant'
  config.adapt.swag = dict(start=config.steps[0] * 2 // 3, every=20)


def _laplace(config):
  del config.adapt.ema
  config.adapt.laplace = dict(layer='autoencoder/Head_0')
  config.steps = (*config.steps, PASS)
