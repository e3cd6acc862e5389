"""Atlas: z-score of each voxel against the mean and variance of aligned healthy scans.

  python -m uad_jax.main --config=configs/atlas.py --workdir=runs/atlas

Arguments, data sets of uad_jax/base_config: `demo` (default), `slices`, `ixi`,
`ixi128`, `folder`, `cohort`, `stroke_flair`, `stroke_flair96`, `stroke_flair64`,
`images`.

No network is trained: `config.steps` is the number of batches that are counted, in 0.01
minutes at 64 x 64.

Measured (docs/results.md): AUPRC on the test scans of the anomaly map (in brackets)
that each run chose on validation scans; means over seeds 0, 1 and 2 on slices of
64 x 64, seed 0 alone on slices of 128 x 128.

  demo (simulated)              AUPRC 0.041  (standardised)
  ixi (seeds 0 and 1)           AUPRC 0.342  (standardised)
  ixi_percentile (heads)        AUPRC 0.267  (standardised)
  ixi128_percentile (the same)  AUPRC 0.228  (standardised)

Cost at 128 x 128 (docs/methods.json) on one core of an x86_64 machine: 0.59 ms for a
counted batch of 32 slices, 365 MiB of memory at the peak. Memory at 64 x 64 was not
measured.
"""

from uad_jax import base_config


def get_config(arg: str = 'demo'):
  """Makes the config for the data set `arg`, a key of `base_config.DATA`."""
  config = base_config.get_config(arg)
  bins = 1 if arg in base_config.SINGLE else 16
  config.method.update(name='atlas', bins=bins, smooth=1.0, floor=0.01)
  config.steps = (200,)  # batches that are counted
  config.scores.update(
    standardised=dict(scorer='standardised'),
    residual=dict(scorer='residual'),
  )
  return config
