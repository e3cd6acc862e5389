"""Introspective variational auto-encoder (Soft-IntroVAE), or the reversed one.

  python -m uad_jax.main --config=configs/soft_introvae.py:ixi \
    --workdir=runs/soft_introvae

Arguments, data sets of uad_jax/base_config: `demo` (default), `slices`, `ixi`,
`ixi128`, `folder`, `cohort`, `stroke_flair`, `stroke_flair96`, `stroke_flair64`,
`images`.

The weights are those of the reversed auto-encoder on brain MRI (Bercea et al. 2023),
whose further embedding loss is

  --config.method.embedding=0.005

Not measured yet.
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
    beta_rec=0.5,
    beta_kl=1.0,
    beta_neg=128.0,
    gamma=1e-8,
    embedding=0.0,
  )
  config.batch_size = 16
  config.steps = (300, 900)
  config.optimiser.update(name='adam', learning_rate=2e-4)
  config.scores.update(
    residual=dict(scorer='residual'),
    perceptual=dict(scorer='perceptual'),
  )
  return config
