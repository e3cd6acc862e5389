"""VQ-VAE with a diffusion model of its codes (Pinaya et al. 2022).

  python -m uad_jax.main --config=configs/latent_diffusion.py --workdir=runs/ldm

Arguments, data sets of uad_jax/base_config: `demo` (default), `slices`, `ixi`,
`ixi128`, `folder`, `cohort`, `stroke_flair`, `stroke_flair96`, `stroke_flair64`,
`images`.

Measured (docs/results.md), means over seeds 0, 1 and 2 on slices of 64 x 64: minutes of
training, on two CPU cores (docs/comparison.md), and AUPRC on the test scans of the
anomaly map (in brackets) that each run chose on validation scans.

  demo (simulated)         7.9 minutes   AUPRC 0.085  (surprise in 2, healing in 1)
  ixi_percentile (heads)   7.2 minutes   AUPRC 0.113  (healing)

Cost at 128 x 128 (docs/methods.json) on one core of an x86_64 machine: 433 / 308 / 560
ms by stage for a training step of 32 slices, 1122 MiB of memory at the peak. Memory at
64 x 64 was not measured.
"""

from uad_jax import base_config


def get_config(arg: str = 'demo'):
  """Makes the config for the data set `arg`, a key of `base_config.DATA`."""
  config, fine = base_config.get_config(arg), arg in base_config.FINE
  config.method.update(
    name='latent_diffusion',
    widths=(16, 32, 64) if fine else (16, 32),
    units=1,
    codes=64,
    size=4,
    decay=0.99,
    commitment=0.25,
    unet_widths=(32, 64),
    blocks=1,
    heads=2,
    schedule='linear',
    steps=1000,
    looks=(200, 400, 5),
    start=500,
    hops=25,
    healthy=0.975,
  )
  config.steps = (600, 1000, 30)
  config.optimiser.update(name='adam', learning_rate=1e-3)
  config.scores.update(
    healing=dict(scorer='healing', smooth=2.0),
    surprise=dict(scorer='output', of='surprise'),
    residual=dict(scorer='residual'),
  )
  return config
