"""The published deformable auto-encoder (MorphAEus), one uniform regularisation.

  python -m uad_jax.main --config=configs/dae.py:ixi128 --workdir=runs/dae

At 128 x 128 it is the published network (3 854 755 parameters); at 64 x 64 one
halving fewer. The sweep of uniform strengths is part of `dae_unc`, whose deformer is
conditioned on the strength.
"""

from uad_jax import base_config

PUBLISHED = (16, 32, 64, 128, 256, 256, 256)


def get_config(arg: str = 'demo'):
  config, fine = base_config.get_config(arg), arg in base_config.FINE
  steps = 900
  config.method.update(
    name='dae',
    widths=PUBLISHED if fine else PUBLISHED[:-1],
    taps=3,
    deformer_features=32,
    structure=1.0,
    morph=1.0,
    stiffness=1.0,
    steps=steps,
    warm_up=1 / 3,
    ramp=2 / 3,
    squarings=7,
    window=9,
  )
  config.batch_size = 16
  config.steps = (steps,)
  config.optimiser.update(
    name='adam', learning_rate=5e-4, schedule='constant', clip=0.0
  )
  config.scores.update(
    residual=dict(scorer='residual'),
    residual_prior=dict(scorer='residual', of='prior'),
    ssim=dict(scorer='ssim'),
    log_jacobian=dict(scorer='log_jacobian'),
  )
  return config
