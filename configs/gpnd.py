"""Likelihood on and beside the manifold of an adversarial auto-encoder (GPND).

  python -m uad_jax.main --config=configs/gpnd.py:ixi --workdir=runs/gpnd

Arguments, data sets of uad_jax/base_config: `demo` (default), `slices`, `ixi`,
`ixi128`, `folder`, `cohort`, `stroke_flair`, `stroke_flair96`, `stroke_flair64`,
`images`.

`config.steps` is the training, and two passes over the training scans for the density.
The likelihood is of a whole scan, the output `log_density`; the map is the residual.
The likelihood as derived, without the power correction:

  --config.method.power=1.0

Published (Pidhorskyi et al. 2018, as remembered): F1 .983 to .939 on MNIST with 10 to
50 % outliers, for whole images.

Measured here (docs/results.md): AUPRC 0.063 on `demo` (3 seeds, map `ssim`; atlas
0.041), 0.071 on `ixi` (3 seeds, map `residual`; atlas 0.342), 0.615 on `stroke_flair64`
(3 seeds, map `residual_median5`; atlas 0.640). Cost at 128 x 128 (docs/methods.json) on
one core of an x86_64 machine: 1258, 122, 124 ms for a training step of 16 slices in its
stages, 817 MiB of memory at the peak.
"""

from uad_jax import base_config


def get_config(arg: str = 'demo'):
  """Makes the config for the data set `arg`, a key of `base_config.DATA`."""
  config = base_config.get_config(arg)
  widths = (32, 64, 64, 64)
  config.method.update(
    name='gpnd',
    widths=(*widths, 64) if arg in base_config.FINE else widths,
    latent=16,
    image_critic=(32, 64, 64),
    latent_critic=(128, 128),
    weight=50.0,
    power=0.2,
    bins=30,
  )
  config.batch_size = 16
  one_pass = base_config.one_pass(arg)
  config.steps = (1200, one_pass, one_pass)
  config.optimiser.update(name='adam_half', learning_rate=2e-4)
  config.optimisers.autoencoder = dict(learning_rate=1e-3)
  config.scores.update(residual=dict(scorer='residual'), ssim=dict(scorer='ssim'))
  return config
