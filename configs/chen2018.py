"""Constrained adversarial auto-encoders (Chen & Konukoglu 2018, arXiv 1806.04972).

  python -m uad_jax.main --config=configs/chen2018.py:caae:cohort --workdir=runs/chen \
    --config.data.source=DIR
  python -m uad_jax.main --config=configs/chen2018.py:demo --workdir=runs/chen_demo

The argument is METHOD, DATA or METHOD:DATA. Methods: `caae` (default) and `aae`, the
same without the constraint. Data: `slices` (default), `ixi128`, `cohort` (with the
paper's preprocessing, 256 x 256), and at 64 x 64 `demo`, `ixi`, `folder`.

As in the paper and its program: the residual network of widths 16 to 256 and 128 latent
values, a critic of 200-400, 20 steps of it for each of the others, the constraint's
weight 1/2 (elsewhere than in `cohort` less: configs/caae.py), Adam with 2e-5, beta1 0.5
and beta2 0.9, batches of 64; |x - x'|, no post-processing. `config.steps` counts the
critic's; their number, 300 epochs in the paper, is ours. `demo` has the sizes and steps
of configs/caae.py: 5 minutes of one core.

A departure: outside the brain the network sees 0 and not the -3.5 of the paper's
preprocessing, so that what surrounds a brain has no influence on its map.

Published: areas under the ROC curve by voxel on T2 of BraTS, trained on HCP, the
constrained one above the plain and the variational one. The figures could not be read
in the paper and are left out; easy voxels raise such an area.
"""

from uad_jax import base_config

METHODS = {'caae': 0.5, 'aae': 0.0}
"""Weight of the constraint for z-scored images of 256 x 256."""

DATA = ('slices', 'ixi128', 'cohort', 'demo', 'ixi', 'folder')


def get_config(arg: str = 'caae'):
  name, data = base_config.method_and_data('chen2018', arg, tuple(METHODS), DATA)
  config = base_config.get_config(data)
  share = 1.0 if data == 'cohort' else base_config.norm_share(data)
  config.method.update(
    name='caae',
    architecture='chen2018',
    widths=(32, 64, 128, 256),
    latent=128,
    dropout=0.0,
    critic=(200, 400),
    critic_steps=20,
    penalty=10.0,
    consistency=METHODS[name] * share,
    bayesian=False,
  )
  config.batch_size = 64
  config.steps = (400_000,)
  config.optimiser.update(
    name='adam_critic', learning_rate=2e-5, schedule='constant', clip=0.0
  )
  config.scores.residual = dict(scorer='residual')
  config.postprocess = 'none'
  if data not in base_config.FINE:
    base_config.shrink(config, __file__, 'caae', 'widths', 'critic_steps')
  if data == 'cohort':
    config.data.preset = 'chen2018'
  return config
