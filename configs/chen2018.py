r"""Constrained adversarial auto-encoders (Chen & Konukoglu 2018, arXiv 1806.04972).

  python -m uad_jax.main --config=configs/chen2018.py:caae:cohort --workdir=runs/chen \
    --config.data.source=DIR
  python -m uad_jax.main --config=configs/chen2018.py:demo --workdir=runs/chen_demo

The argument is METHOD, DATA or METHOD:DATA. Methods: `caae` (default) and `aae`, the
same without the constraint. Data: `slices` (default), `ixi128`, `stroke_flair`,
`images`, `cohort` (with the preprocessing of the paper, 256 x 256), and at 64 x 64
`demo`, `ixi`, `folder`, `stroke_flair64`, or `stroke_flair96` at 96 x 96. Time, memory
and AUPRC were not measured; at 64 x 64 sizes and steps are those of configs/caae.py.

As in the paper and its program: a residual network of widths 16 to 256 with 128 latent
values; a critic of layers 200 and 400, with 20 steps for each step of the others;
weight 1/2 of the constraint on `cohort`, less on the other data (see configs/caae.py);
Adam with rate 2e-5, beta1 0.5 and beta2 0.9; batches of 64; |x - x'| without
post-processing. `config.steps` counts the steps of the critic. Their number is ours;
the paper trains 300 epochs.

Departure: outside the brain the network sees 0 and not -3.5 as in the preprocessing of
the paper, so that the surroundings of a brain have no influence on its anomaly map.

Published: areas under the ROC curve over voxels on T2 of BraTS, trained on HCP, with
the constrained auto-encoder above the plain and the variational one. The numbers could
not be read in the paper and are left out; easy voxels raise such an area.
"""

from uad_jax import base_config

METHODS = {'caae': 0.5, 'aae': 0.0}
"""Weight of the constraint, for z-scored images of 256 x 256."""

DATA = (
  'slices', 'ixi128', 'cohort', 'stroke_flair', 'images', 'demo', 'ixi', 'folder',
  'stroke_flair96', 'stroke_flair64',
)  # fmt: skip


def get_config(arg: str = 'caae'):
  """Makes the config that `arg` names as METHOD, DATA or METHOD:DATA."""
  name, data = base_config.method_and_data(arg, tuple(METHODS), DATA)
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
