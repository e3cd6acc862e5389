"""Novelty detectors with the sizes, losses and training of their papers.

  python -m uad_jax.main --config=configs/novelty_papers.py:glow:ixi128 \
    --workdir=runs/glow_published

The argument is METHOD, DATA or METHOD:DATA. Methods: `deep_svdd` (default), `glow`,
`lsa`, `soft_introvae`, `gpnd`, `ocgan`, `fae`, `reverse_distillation`,
`feature_transformer`, `patchcore`, `padim`. Data: `slices` (default; the simulated
cohort at 128 x 128), `ixi128`, `stroke_flair`, `images`, `cohort`, and at 64 x 64
`demo`, `ixi`, `folder`, `stroke_flair64`, or `stroke_flair96` at 96 x 96. The small
data sets have the sizes and the training of the method's own config in this folder; the
others need an accelerator. Time, memory and AUPRC were not measured.

What is set, and from where (as the method cards quote papers and programs):

  deep_svdd             Ruff et al. 2018: 32, 64, 128 filters, rate 1e-4, batch 200,
                        decay 1e-6
  glow                  Schirrmeister et al. 2020: 3 scales of 32 steps, 512 hidden
                        channels, Adamax with rate 5e-4, batch 64, weight of outliers
                        6000 at temperature 1000; a step needs about 110 GiB of
                        memory (counted from shapes), a batch of 8 about 14
  lsa                   Abati et al. 2019: a vector of 64 numbers, 100 bins, 5 masked
                        layers, rate 1e-4, batch 256
  soft_introvae         Bercea et al. 2023, reversed auto-encoder on brain MRI: filters
                        64 to 512, rate 5e-5, batch 32, embedding loss 0.005,
                        beta_rec 0.5, beta_neg 128
  gpnd                  Pidhorskyi et al. 2018: filters 128, 256, 512, code of 16,
                        rate 2e-3, batch 128, power 0.2
  ocgan                 Perera et al. 2019: filters 64 to 256, rate 2e-4, batch 512, 5
                        steps of mining in the last quarter
  fae                   Meissen et al. 2022: filters 100, 150, 200, 300
  reverse_distillation  Deng and Li 2022: filters 64, 128, 256, rate 5e-3, batch 16
  feature_transformer   You et al. 2022: 4 layers of width 256, neighbours 7 x 7 masked,
                        jitter 20, AdamW with rate 4e-4, batch 64
  patchcore             Roth et al. 2022: neighbourhood 3, coreset of a tenth
  padim                 Defard et al. 2021: 100 components at each place

Departures, beside those that the methods' own configs tell: the number of steps is
fixed, at the order of the papers' epochs; rates do not fall in steps; the last five
work on features that masked auto-encoding trains here (configs/feature_network.py). The
papers' networks of photographs are used with, for example,

  --config.method.network=resnet50 --config.method.weights=resnet50.npz

and the first stage left out of `config.steps`. Nothing was measured with them.

Published: mean AUROC over the ten one-class tasks of MNIST 0.948 (deep_svdd), 0.975
(lsa; replications 0.82 to 0.92), 0.975 (ocgan; a replication 0.893); F1 0.939 with half
of outliers (gpnd); AUROC of CIFAR-10 against SVHN 0.99 with outliers (glow); Dice on T1
scans with tumours in the benchmark of Frotscher et al. 2025 0.437 (fae), 0.321
(patchcore), 0.239 (feature_transformer); AUROC of images of MVTec AD 0.985
(reverse_distillation) and 0.979 (padim). All but the Dice are of other tasks, and most
are quoted from memory.
"""

import pathlib
from typing import NamedTuple

from uad_jax import base_config
from uad_jax.registry import read_config

HERE = pathlib.Path(__file__)
STEPS = 20_000
"""Steps of a stage that trains networks."""


class Setting(NamedTuple):
  """Settings of a paper, for slices of 128 x 128.

  Attributes:
    method: Options of the method.
    batch: Number of slices in a batch.
    steps: Steps by stage; None for one pass over the training scans.
    optimiser: Options of the optimiser, of all objectives.
    adapt: Options of the method's adaptations, by name.
  """

  method: dict
  batch: int
  steps: tuple
  optimiser: dict
  adapt: dict = {}


METHODS = {
  'deep_svdd': Setting(
    dict(widths=(32, 64, 128), decay=1e-6),
    200,
    (STEPS, None, STEPS),
    dict(name='adam', learning_rate=1e-4),
  ),
  'glow': Setting(
    dict(levels=3, steps=32, hidden=512, outlier_weight=6000.0),
    64,
    (STEPS,),
    dict(name='adamax', learning_rate=5e-4),
  ),
  'lsa': Setting(
    dict(widths=(32, 64, 128, 256), latent=64, code='vector'),
    256,
    (STEPS,),
    dict(name='adam', learning_rate=1e-4),
  ),
  'soft_introvae': Setting(
    dict(
      widths=(64, 128, 256, 512, 512), embedding=0.005, beta_rec=0.5, beta_neg=128.0
    ),
    32,
    (1000, STEPS),
    dict(name='adam', learning_rate=5e-5),
  ),
  'gpnd': Setting(
    dict(widths=(128, 256, 512, 512), image_critic=(64, 256, 512)),
    128,
    (STEPS, None, None),
    dict(name='adam_half', learning_rate=2e-3),
  ),
  'ocgan': Setting(
    dict(
      widths=(64, 128, 256, 256),
      image_critic=(12, 24, 48),
      classifier=(64, 128, 256),
      after=3 * STEPS // 4,
    ),
    512,
    (STEPS,),
    dict(name='adam_half', learning_rate=2e-4),
  ),
  'fae': Setting(
    dict(widths=(100, 150, 200, 300)),
    64,
    (STEPS, None, STEPS),
    dict(name='adam', learning_rate=2e-4),
  ),
  'reverse_distillation': Setting(
    dict(widths=(64, 128, 256)),
    16,
    (STEPS, None, STEPS),
    dict(name='adam_half', learning_rate=5e-3),
  ),
  'feature_transformer': Setting(
    dict(width=256, neighbours=7),
    64,
    (STEPS, None, STEPS),
    dict(name='adamw', learning_rate=4e-4),
  ),
  'patchcore': Setting(
    {},
    16,
    (STEPS, None, 1),
    {},
    dict(detector=dict(bank=100_000, options=dict(coreset=10_000))),
  ),
  'padim': Setting({}, 16, (STEPS, None), {}, dict(padim=dict(components=100))),
}
"""Settings of the papers by method, the default first."""

DATA = (
  'slices', 'ixi128', 'cohort', 'stroke_flair', 'images', 'demo', 'ixi', 'folder',
  'stroke_flair96', 'stroke_flair64',
)  # fmt: skip


def get_config(arg: str = 'deep_svdd'):
  """Makes the config that `arg` names as METHOD, DATA or METHOD:DATA."""
  name, data = base_config.method_and_data(arg, tuple(METHODS), DATA)
  config = read_config(HERE.with_name(f'{name}.py'), data)
  if data not in base_config.FINE:
    return config
  paper = METHODS[name]
  config.method.update(paper.method)
  config.batch_size = paper.batch
  one_pass = -(-16 * base_config.one_pass(data) // paper.batch)
  config.steps = tuple(one_pass if n is None else n for n in paper.steps)
  config.optimiser.update(paper.optimiser, schedule='constant', clip=0.0)
  config.optimisers = {}  # one rate for all objectives
  config.adapt.update(paper.adapt)
  return config
