r"""Restoration with a normative prior (You et al., MIDL 2019; Chen et al. 2020).

  python -m uad_jax.main --config=configs/you2019.py:gmvae:cohort --workdir=runs/you \
    --config.data.source=DIR
  python -m uad_jax.main --config=configs/you2019.py:demo --workdir=runs/you_demo

The argument is METHOD, DATA or METHOD:DATA. Methods: `gmvae` (default, the method of
the paper) and `vae`, to which the paper compares: the same network, with a normal prior
of its one latent map. Data: `slices` (default), `ixi128`, `stroke_flair`, `images`,
`cohort` (with the preprocessing of the paper at 160 x 200; the paper crops to 158 x
198), and at 64 x 64 `demo`, `ixi`, `folder`, `stroke_flair64`, or `stroke_flair96` at
96 x 96. Time, memory and test AUPRC were not measured.

As in the paper: latent maps z and w of one channel at a quarter of the resolution, 6
clusters, c_lambda 0.5, 64 channels, a predicted variance, sums over voxels, Adam with
rate 5e-5, batches of 16; 500 steps of restoration with TV(y - x), weight 1.8 and
gradients clipped at 100 (`vae`: 2.2 and 50); no post-processing. `choose_weight` is the
paper's rule for the weight.

The constants belong to z-scored intensities. On data in [0, 1] the weight and the
clipping bound are multiplied by `base_config.SPREAD`, because the gradient of the
squared error is, and the KL terms by its square. At 64 x 64 there are a sixth of the
steps of restoration, each six times as long.

Departures beside those of uad_jax/nets/you2019.py: fewer training steps (the paper: up
to 1.6 million); the ascent is at the means of z and w and without the free bits of the
clusters, where the paper draws z and w anew at each step and keeps the free bits.

On `demo` the anomaly maps of `gmvae` are at chance on validation scans, also with five
times the steps (docs/tuning.md): at 64 x 64 a latent map at a quarter of the resolution
still copies a third of a lesion, while folds are blurred. The dense latent of
configs/gmvae.py is not at chance.

Published: Chen et al. 2020 report 0.13 more area under the ROC curve (over voxels,
which easy voxels raise) than methods that project and subtract, for tumours and for
strokes. The table of the first paper could not be read and is left out.
"""

from ml_collections.config_dict import placeholder

from uad_jax import base_config

METHODS = {
  'gmvae': dict(
    name='gmvae',
    widths=(64, 64),
    bottleneck='spatial',
    latent=1,
    latent_w=1,
    clusters=6,
    hidden=64,
    c_lambda=0.5,
    architecture='you2019',
    dropout=0.0,
    bayesian=False,
  ),
  'vae': dict(
    name='vae',
    widths=(64, 64),
    latent=1,
    beta=1.0,
    warm_up=0,
    position=False,
    architecture='you2019',
    dropout=0.0,
    bayesian=False,
    likelihood=placeholder(str),
  ),
}
RESTORATION = {'gmvae': (1.8, 100.0), 'vae': (2.2, 50.0)}
"""Weight of the total variation and bound of the gradient, by method; for z-scores."""

DATA = (
  'slices', 'ixi128', 'cohort', 'stroke_flair', 'images', 'demo', 'ixi', 'folder',
  'stroke_flair96', 'stroke_flair64',
)  # fmt: skip


def get_config(arg: str = 'gmvae'):
  """Makes the config that `arg` names as METHOD, DATA or METHOD:DATA."""
  name, data = base_config.method_and_data(arg, tuple(METHODS), DATA)
  config, fine = base_config.get_config(data), data in base_config.FINE
  config.method.update(METHODS[name])
  if not fine:
    config.method.widths = (8, 8)
  config.batch_size = 16
  config.steps = (100_000 if fine else 600,)
  config.optimiser.update(
    name='adam', learning_rate=5e-5 if fine else 1e-3, schedule='constant', clip=0.0
  )
  weight, clip = RESTORATION[name]
  scale = base_config.SPREAD if data != 'cohort' else 1.0
  config.scores.update(
    restoration=dict(
      scorer='restoration',
      weight=weight * scale,
      variant='you2019',
      steps=500 if fine else 84,
      rates=(5e-3, 2e-3) if fine else (3e-2, 1.2e-2),
      switch=100 if fine else 17,
      clip=clip * scale,
      prior=scale**2,
    ),
    residual=dict(scorer='residual'),
  )
  config.postprocess = 'none'
  if data == 'cohort':
    config.data.update(preset='you2019', shape=(160, 200))
  return config
