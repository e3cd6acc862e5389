"""Introspective variational auto-encoder (Soft-IntroVAE), or the reversed one.

  python -m uad_jax.main --config=configs/soft_introvae.py:ixi \
    --workdir=runs/soft_introvae

Arguments, data sets of uad_jax/base_config: `demo` (default), `slices`, `ixi`,
`ixi128`, `folder`, `cohort`, `stroke_flair`, `stroke_flair96`, `stroke_flair64`,
`images`.

The weights of the reversed auto-encoder on brain MRI (Bercea et al. 2023; 128 x 128):
beta_rec 0.5, beta_kl 1, beta_neg 128. On slices of 64 x 64 of one channel they let the
posterior collapse, since a squared error is summed over fewer voxels: the code of a
variational auto-encoder holds 1.4 nats on `demo`, the encoder's adversarial terms then
outweigh the reconstruction, and healthy scans have an error of .24 (.15 of the training
mean). Here beta_rec is 20, a normal likelihood of standard deviation .16, and beta_neg
the authors' 256. Their weights, and their further embedding loss:

  --config.method.beta_rec=0.5 --config.method.beta_neg=128.0
  --config.method.embedding=0.005

Measured here (docs/results.md): AUPRC 0.045 on `demo` (3 seeds, map `residual`; atlas
0.041), 0.078 on `ixi` (3 seeds, map `residual`; atlas 0.342), 0.610 on `stroke_flair64`
(3 seeds, map `residual_median5`; atlas 0.640). Cost at 128 x 128 (docs/methods.json) on
one core of an x86_64 machine: 448, 2127 ms for a training step of 16 slices in its
stages, 1086 MiB of memory at the peak.
"""

from uad_jax import base_config


def get_config(arg: str = 'demo'):
  """Makes the config for the data set `arg`, a key of `base_config.DATA`."""
  config = base_config.get_config(arg)
  widths = (32, 64, 64, 64)
  config.method.update(
    name='soft_introvae',
    widths=(*widths, 64) if arg in base_config.FINE else widths,
    latent=128,
    beta_rec=20.0,
    beta_kl=1.0,
    beta_neg=256.0,
    gamma=1e-8,
    embedding=0.0,
  )
  config.batch_size = 16
  config.steps = (500, 700)
  config.optimiser.update(name='adam', learning_rate=2e-4)
  config.optimisers.vae = dict(learning_rate=1e-3)
  config.scores.update(
    residual=dict(scorer='residual'),
    perceptual=dict(scorer='perceptual'),
  )
  return config
