"""Auto-encoder with a Gaussian mixture of its codes and errors (DAGMM).

  python -m uad_jax.main --config=configs/dagmm.py:ixi --workdir=runs/dagmm

Arguments, data sets of uad_jax/base_config: `demo` (default), `slices`, `volumes`,
`ixi`, `ixi128`, `ixi3d`, `folder`, `cohort`, `stroke_flair`, `stroke_flair96`,
`stroke_flair64`, `images`.

`config.steps` is the training, and one pass over the training scans for the mixture.

The published numbers (Zong et al. 2018) are of tables, not of images.

Measured here (docs/results.md): AUPRC 0.012 on `demo` (3 seeds, map `novelty` or
`residual`; atlas 0.041), 0.014 on `ixi` (3 seeds, map `residual`; atlas 0.342), 0.200
on `stroke_flair64` (3 seeds, map `residual_median5`; atlas 0.640). Cost at 128 x 128
(docs/methods.json) on one core of an x86_64 machine: 1124, 245 ms for a training step
of 16 slices in its stages, 915 MiB of memory at the peak.
"""

from uad_jax import base_config


def get_config(arg: str = 'demo'):
  """Makes the config for the data set `arg`, a key of `base_config.DATA`."""
  config = base_config.get_config(arg)
  config.method.update(
    name='dagmm',
    widths=(32, 64, 64),
    latent=4,
    components=4,
    estimation=(16,),
    energy_weight=0.1,
    penalty_weight=0.005,
    floor=1e-3,
  )
  config.batch_size = 2 if arg in base_config.VOLUMES else 16
  config.steps = (1200, base_config.one_pass(arg))
  config.optimiser.update(name='adam', learning_rate=1e-3)
  config.scores.update(
    novelty=dict(scorer='output', of='novelty'),
    residual=dict(scorer='residual'),
  )
  return config
