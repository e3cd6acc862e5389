"""The auto-encoders of the comparative study (Baur et al., MedIA 69, 2021).

  python -m uad_jax.main --config=configs/baur2021.py:vae:ixi128 --workdir=runs/baur_vae
  python -m uad_jax.main --config=configs/baur2021.py:vae:demo --workdir=runs/baur_demo

The argument is METHOD or METHOD:DATA. Methods: `ae`, `ae_spatial`, `ae_bayesian`,
`vae`, `vae_bayesian`, `cevae`, `gmvae`, `gmvae_spatial`. Data: `slices` (default; the
simulated cohort at 128 x 128), `ixi128`, `cohort`, and at 64 x 64 `demo`, `ixi`,
`folder`.

At 128 x 128 everything is the study's: bottleneck 8 x 8, 128 latent values, dropout
0.2, Adam with rate 1e-4 and beta1 0.5, batches of 8. The study trained for up to 1000
epochs and stopped early on the validation loss; here the number of steps is fixed. At
64 x 64 a halving, half of the widths and a higher rate, which train in minutes.
"""

from uad_jax import defaults

DROPOUT = 0.2
AE = dict(
  name='ae',
  bottleneck='dense',
  position=False,
  architecture='study',
  dropout=DROPOUT,
  bayesian=False,
)
VAE = dict(
  name='vae',
  beta=1.0,
  warm_up=0,
  position=False,
  architecture='study',
  dropout=DROPOUT,
  bayesian=False,
)
CEVAE = dict(
  name='cevae', beta=1.0, context=1.0, boxes=3, edge=20 / 128, dropout=DROPOUT
)
GMVAE = dict(
  name='gmvae', bottleneck='dense', latent_w=1, clusters=9, hidden=64, c_lambda=1.0
)
METHODS = {
  'ae': AE,
  'ae_spatial': {**AE, 'bottleneck': 'spatial'},
  'ae_bayesian': {**AE, 'bayesian': True},
  'vae': VAE,
  'vae_bayesian': {**VAE, 'bayesian': True},
  'cevae': CEVAE,
  'gmvae': GMVAE,
  'gmvae_spatial': {**GMVAE, 'bottleneck': 'spatial'},
}
DATA = ('slices', 'ixi128', 'cohort', 'demo', 'ixi', 'folder')


def scores(name: str, fine: bool) -> dict:
  """The rows of a method: the residual, and what the study adds for it."""
  rows = {
    'residual': dict(scorer='residual'),
    'bright': dict(scorer='residual', sign='bright'),
  }
  if METHODS[name].get('bayesian'):
    samples = 100 if fine else 16
    rows = {'mean': dict(scorer='monte_carlo', kind='mean', samples=samples)}
    rows['variance'] = dict(scorer='monte_carlo', kind='variance', samples=samples)
  elif name == 'cevae':
    rows['gradient'] = dict(scorer='gradient', of='elbo', residual=True)
  elif METHODS[name]['name'] in ('vae', 'gmvae'):
    rows['restoration'] = dict(
      scorer='restoration',
      weight=1.0,
      variant='baur2021',
      steps=150 if fine else 50,
      rates=(1e-3, 1e-3) if fine else (3e-3, 3e-3),
      clip=0.0,
    )
  return rows


def get_config(arg: str = 'vae'):
  name, _, data = arg.partition(':')
  data = data or DATA[0]
  for what, given, allowed in (('method', name, METHODS), ('data', data, DATA)):
    if given not in allowed:
      raise ValueError(
        f"baur2021: unknown {what} '{given}'; there are {', '.join(allowed)}"
      )
  config, fine = defaults.get_config(data), data in defaults.FINE
  config.method.update(
    METHODS[name],
    widths=(32, 64, 128, 128) if fine else (16, 32, 64),
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
  config.scores.update(scores(name, fine))
  return config
