"""Auto-encoder all of whose codes decode to healthy scans (OCGAN).

  python -m uad_jax.main --config=configs/ocgan.py:ixi --workdir=runs/ocgan

Arguments, data sets of uad_jax/base_config: `demo` (default), `slices`, `ixi`,
`ixi128`, `folder`, `cohort`, `stroke_flair`, `stroke_flair96`, `stroke_flair64`,
`images`.

As in the authors' program, the mining of codes begins after three quarters of the
steps; without it:

  --config.method.steps=0

Published (Perera et al. 2019): mean AUROC .975 over the ten one-class tasks of MNIST
and .657 of CIFAR-10, for whole images; a replication of the first is .893.

Measured here (docs/results.md): AUPRC 0.066 on `demo` (3 seeds, map `residual` or
`ssim`; atlas 0.041), 0.095 on `ixi` (3 seeds, map `residual`; atlas 0.342), 0.622 on
`stroke_flair64` (3 seeds, map `residual_median5`; atlas 0.640). Cost at 128 x 128
(docs/methods.json) on one core of an x86_64 machine: 1477 ms for a training step of 16
slices, 919 MiB of memory at the peak.
"""

from uad_jax import base_config


def get_config(arg: str = 'demo'):
  """Makes the config for the data set `arg`, a key of `base_config.DATA`."""
  config = base_config.get_config(arg)
  widths = (32, 64, 64, 64)
  config.method.update(
    name='ocgan',
    widths=(*widths, 64) if arg in base_config.FINE else widths,
    latent=64,
    latent_critic=(128, 64, 32, 16),
    image_critic=(16, 32, 32),
    classifier=(32, 64, 64),
    weight=100.0,
    noise=0.2,
    steps=5,
    rate=0.1,
    after=900,
  )
  config.batch_size = 16
  config.steps = (1200,)
  config.optimiser.update(name='adam_half', learning_rate=2e-4)
  config.optimisers.generator = dict(learning_rate=1e-3)
  config.scores.update(residual=dict(scorer='residual'), ssim=dict(scorer='ssim'))
  return config
