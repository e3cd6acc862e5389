"""Auto-encoder with an autoregressive density of its code (LSA).

  python -m uad_jax.main --config=configs/lsa.py:ixi --workdir=runs/lsa

Arguments, data sets of uad_jax/base_config: `demo` (default), `slices`, `ixi`,
`ixi128`, `folder`, `cohort`, `stroke_flair`, `stroke_flair96`, `stroke_flair64`,
`images`.

The code is made of maps, so that its surprisal has a place; the vector of the paper:

  --config.method.code=vector --config.method.latent=64

Published (Abati et al. 2019): mean AUROC .975 over the ten one-class tasks of MNIST
and .641 of CIFAR-10, for whole images; replications of the first are .82 to .92.

Measured here (docs/results.md): AUPRC 0.023 on `demo` (3 seeds, map `improbability` or
`residual`; atlas 0.041), 0.020 on `ixi` (3 seeds, map `residual`; atlas 0.342), 0.367
on `stroke_flair64` (3 seeds, map `residual_median5`; atlas 0.640). Cost at 128 x 128
(docs/methods.json) on one core of an x86_64 machine: 1213 ms for a training step of 16
slices, 938 MiB of memory at the peak.
"""

from uad_jax import base_config


def get_config(arg: str = 'demo'):
  """Makes the config for the data set `arg`, a key of `base_config.DATA`."""
  config = base_config.get_config(arg)
  widths = (32, 64, 64)
  config.method.update(
    name='lsa',
    widths=(*widths, 64) if arg in base_config.FINE else widths,
    latent=8,
    code='maps',
    estimator=(32, 32, 32, 32),
    bins=100,
    weight=1.0,
  )
  config.batch_size = 16
  config.steps = (1200,)
  config.optimiser.update(name='adam', learning_rate=1e-3)
  config.scores.update(
    improbability=dict(scorer='output', of='improbability'),
    residual=dict(scorer='residual'),
  )
  return config
