"""U-Net that removes synthetic anomalies step by step (DISYRE, Naval Marimont 2024).

  python -m uad_jax.main --config=configs/cold_diffusion.py --workdir=runs/cold

Arguments, data sets of uad_jax/base_config: `demo` (default), `slices`, `ixi`,
`ixi128`, `folder`, `cohort`, `stroke_flair`, `stroke_flair96`, `stroke_flair64`,
`images`.

Measured (docs/results.md), means over seeds 0, 1 and 2 on slices of 64 x 64: minutes of
training, on two CPU cores (docs/comparison.md), and AUPRC on the test scans of the
anomaly map (in brackets) that each run chose on validation scans.

  demo (simulated)        10.4 minutes   AUPRC 0.531  (residual)
  ixi_percentile (heads)   7.6 minutes   AUPRC 0.292  (residual)

Cost at 128 x 128 (docs/methods.json) on one core of an x86_64 machine: 281 ms for a
training step of 16 slices, 672 MiB of memory at the peak. Memory at 64 x 64 was not
measured.
"""

from uad_jax import base_config


def get_config(arg: str = 'demo'):
  """Makes the config for the data set `arg`, a key of `base_config.DATA`."""
  config, fine = base_config.get_config(arg), arg in base_config.FINE
  config.method.update(
    name='cold_diffusion',
    widths=(8, 16, 32, 64, 128) if fine else (16, 32, 64, 128),
    blocks=1,
    painters=('patch', 'constant', 'shift', 'texture'),
    share=0.8,
    steps=5,
    position=True,
  )
  config.batch_size = 16
  config.steps = (3000,)
  config.adapt.ema = dict(decay=0.99)
  config.scores.update(
    restored=dict(scorer='output', of='restored'),
    residual=dict(scorer='residual'),
    ssim=dict(scorer='ssim'),
  )
  return config
