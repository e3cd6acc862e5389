"""VQ-VAE and an autoregressive transformer over its codes (Pinaya et al. 2021).

  python -m uad_jax.main --config=configs/vqvae_transformer.py --workdir=runs/vqvae

Arguments, data sets of uad_jax/base_config: `demo` (default), `slices`, `ixi`,
`ixi128`, `folder`, `cohort`, `stroke_flair`, `stroke_flair96`, `stroke_flair64`,
`images`.

The published size is configs/pinaya2021.py.

Measured (docs/results.md), means over seeds 0, 1 and 2 on slices of 64 x 64: minutes of
training, on two CPU cores (docs/comparison.md), and AUPRC on the test scans of the
anomaly map (in brackets) that each run chose on validation scans.

  demo (simulated)         5.9 minutes   AUPRC 0.119  (likelihood)
  ixi_percentile (heads)   5.6 minutes   AUPRC 0.110  (healing)

Cost at 128 x 128 (docs/methods.json) on one core of an x86_64 machine: 470 / 71 ms by
stage for a training step of 32 slices, 1369 MiB of memory at the peak. Memory at
64 x 64 was not measured.
"""

from uad_jax import base_config


def get_config(arg: str = 'demo'):
  """Makes the config for the data set `arg`, a key of `base_config.DATA`."""
  config, fine = base_config.get_config(arg), arg in base_config.FINE
  config.method.update(
    name='vqvae_transformer',
    widths=(16, 32, 64, 64) if fine else (16, 32, 64),
    units=1,
    codes=32,
    size=16,
    decay=0.99,
    commitment=0.25,
    width=64,
    depth=3,
    heads=4,
    rasters=4,
    likely=0.005,
  )
  config.steps = (1200, 2400)
  config.optimiser.update(name='adam', learning_rate=1e-3)
  config.scores.update(
    healing=dict(scorer='healing', smooth=2.0),
    likelihood=dict(scorer='likelihood'),
    residual=dict(scorer='residual'),
  )
  return config
