"""Methods of the comparative study of Baur et al. (Medical Image Analysis 69, 2021).

  python -m uad_jax.main --config=configs/baur2021.py:gmvae:ixi128 --workdir=runs/gmvae
  python -m uad_jax.main --config=configs/baur2021.py:demo --workdir=runs/baur_demo

The argument is METHOD, DATA or METHOD:DATA. Methods: `vae` (default), `vae_bayesian`,
`ae`, `ae_spatial`, `ae_bayesian`, `cevae`, `gmvae`, `gmvae_spatial`, `cae`, `aae`,
`caae`, `fanogan`, `anovaegan`. Data: `slices` (default; the simulated cohort at 128 x
128), `ixi128`, `stroke_flair`, `images`, `cohort` (with the preprocessing of the
study), and at 64 x 64 `demo`, `ixi`, `folder`, `stroke_flair64`, or `stroke_flair96` at
96 x 96. Time, memory and AUPRC were not measured.

At 128 x 128 the setting is that of the study: bottleneck 8 x 8, 128 latent values,
dropout 0.2, Adam with rate 1e-4 and beta1 0.5, batches of 8; 20 steps of a critic of
codes, or 5 of a critic of images, for each step of the other networks; post-processing
that leaves out 12 voxels of the brain's rim, takes a median over 5 voxels and drops
components of up to 7 voxels. At 64 x 64 there are one halving fewer, half of the
widths, a higher rate and fewer steps.

Departures: the study's prior that only the brightest tenth of a volume can be a lesion
is left out. All gradient penalties weigh 10 (for `caae` the authors' program has 10 in
one place and 1 in another). The weight of a restoration is 1 until
`uad_jax.choose_weight` has found the weight for a trained run, as the study does. The
number of steps is fixed, for methods with a critic the number of the auto-encoder's
steps; the study trained for up to 1000 epochs and stopped early on the validation loss.

Published, as Meissen et al. 2021 quote them (best Dice over thresholds set on the test
labels / AUPRC):

                      MSLUB            MSSEG 2015
  ae                  0.271 / 0.163    0.185 / 0.080
  ae_spatial          0.154 / 0.065    0.106 / 0.037
  vae, restoration    0.333 / 0.275    0.272 / 0.202
  gmvae, restoration  0.332 / 0.271    0.280 / 0.199
  fanogan             0.283 / 0.221    0.342 / 0.255

A threshold of the FLAIR image itself has 0.374 / 0.271 and 0.431 / 0.262 there. The
healthy training scans are private, and FLAIR; numbers on other data do not compare.
"""

from ml_collections.config_dict import placeholder

from uad_jax import base_config

BAYES = dict(dropout=0.2, bayesian=False)
VAE = dict(
  name='vae', beta=1.0, warm_up=0, position=False, architecture='study',
  likelihood=placeholder(str), **BAYES,
)  # fmt: skip
AE = dict(
  name='ae', bottleneck='dense', position=False, architecture='study',
  concrete=placeholder(float), likelihood=placeholder(str), **BAYES,
)  # fmt: skip
GMVAE = dict(
  name='gmvae', bottleneck='dense', latent_w=1, clusters=9, hidden=64, c_lambda=1.0,
  architecture='study', **BAYES,
)  # fmt: skip
AAE = dict(
  name='aae', critic=(50, 50), critic_steps=20, penalty=10.0, consistency=0.0, **BAYES
)
METHODS = {
  'vae': VAE,
  'vae_bayesian': {**VAE, 'bayesian': True},
  'ae': AE,
  'ae_spatial': {**AE, 'bottleneck': 'spatial'},
  'ae_bayesian': {**AE, 'bayesian': True},
  'cevae': dict(name='cevae', beta=1.0, context=1.0, boxes=3, edge=20 / 128, **BAYES),
  'gmvae': GMVAE,
  'gmvae_spatial': {**GMVAE, 'bottleneck': 'spatial'},
  'cae': dict(name='cae', consistency=1.0, **BAYES),
  'aae': AAE,
  'caae': {**AAE, 'critic': (100, 50), 'consistency': 1.0},
  'fanogan': dict(name='fanogan', critic_steps=5, penalty=10.0, kappa=1.0, **BAYES),
  'anovaegan': dict(name='anovaegan', critic_steps=5, penalty=10.0, **BAYES),
}
DATA = (
  'slices', 'ixi128', 'cohort', 'stroke_flair', 'images', 'demo', 'ixi', 'folder',
  'stroke_flair96', 'stroke_flair64',
)  # fmt: skip


def scores(name: str, fine: bool) -> dict:
  """Makes the scorers of a method: the residual, and the score that the study adds.

  The anomaly maps of the study are of voxels that are brighter than expected, as
  lesions are on FLAIR (rows `*_bright`). Maps of any change stand beside them.

  Args:
    name: Method, a key of `METHODS`.
    fine: Whether slices have 128 x 128 voxels: more samples and restoration steps.

  Returns:
    Options of each scorer, by row of the table of results.
  """
  rows = {'residual': dict(scorer='residual')}
  bayesian = METHODS[name].get('bayesian')
  if bayesian:
    samples = 100 if fine else 16
    rows = {'mean': dict(scorer='monte_carlo', kind='mean', samples=samples)}
  elif METHODS[name]['name'] in ('vae', 'gmvae'):
    rows['restoration'] = dict(
      scorer='restoration',
      weight=1.0,
      variant='baur2021',
      steps=150 if fine else 25,
      rates=(1e-3, 1e-3) if fine else (6e-3, 6e-3),
      clip=0.0,
    )
  rows |= {f'{row}_bright': dict(rows[row], sign='bright') for row in rows}
  if bayesian:
    rows['variance'] = dict(scorer='monte_carlo', kind='variance', samples=samples)
  elif name == 'cevae':
    rows['gradient'] = dict(scorer='gradient', of='elbo', residual=True)
  return rows


def get_config(arg: str = 'vae'):
  """Makes the config that `arg` names as METHOD, DATA or METHOD:DATA."""
  name, data = base_config.method_and_data(arg, tuple(METHODS), DATA)
  config, fine = base_config.get_config(data), data in base_config.FINE
  widths = (32, 64, 128, 128) if fine else (16, 32, 64)
  config.method.update(
    METHODS[name],
    widths=widths,
    latent=1 if name == 'gmvae_spatial' else 128 if fine else 64,
  )
  config.batch_size = 8
  config.steps = (20000 if fine else 1500,)
  config.optimiser.update(
    name='adam_half',
    learning_rate=1e-4 if fine else 1e-3,
    schedule='constant',
    clip=0.0,
  )
  if 'critic_steps' in config.method:
    config.method.critic_steps = config.method.critic_steps if fine else 5
    config.optimiser.name = 'adam_critic'
    config.optimiser.learning_rate = 1e-4 if fine else 5e-4
    config.steps = (20000 * config.method.critic_steps if fine else 2000,)
  if name in ('fanogan', 'anovaegan'):
    config.method.critic = widths
  if name == 'fanogan':
    config.steps += (20000 if fine else 400,)
  config.scores.update(scores(name, fine))
  if fine:
    config.postprocess = 'baur2021'
  if data == 'cohort':
    config.data.preset = 'baur2021'
  return config
