"""Deformable auto-encoder as published (MorphAEus), with one uniform stiffness.

  python -m uad_jax.main --config=configs/dae.py:ixi128 --workdir=runs/dae

Arguments, data sets of uad_jax/base_config: `demo` (default), `slices`, `ixi`,
`ixi128`, `folder`, `cohort`, `stroke_flair`, `stroke_flair96`, `stroke_flair64`,
`images`.

At 128 x 128 it is the published network (3 854 755 parameters); at 64 x 64 it has one
halving fewer. configs/dae_unc.py compares uniform strengths: its deformer takes the
strength as an input.

Measured (docs/results.md), means over seeds 0, 1 and 2 on slices of 64 x 64: minutes of
training, on two CPU cores (docs/comparison.md), and AUPRC on the test scans of the
anomaly map (in brackets) that each run chose on validation scans.

  demo (simulated)         4.5 minutes   AUPRC 0.090  (ssim)
  ixi_percentile (heads)   4.6 minutes   AUPRC 0.035  (residual in 2, ssim in 1)

Cost at 128 x 128 (docs/methods.json) on one core of an x86_64 machine: 944 ms for a
training step of 16 slices, 1092 MiB of memory at the peak. Memory at 64 x 64 was not
measured.
"""

from uad_jax import base_config

PUBLISHED = (16, 32, 64, 128, 256, 256, 256)


def get_config(arg: str = 'demo'):
  """Makes the config for the data set `arg`, a key of `base_config.DATA`."""
  config, fine = base_config.get_config(arg), arg in base_config.FINE
  halvings = 7 if fine else 5 if arg == 'stroke_flair96' else 6  # 96 = 3 * 2 ** 5
  steps = 900
  config.method.update(
    name='dae',
    widths=PUBLISHED[:halvings],
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
