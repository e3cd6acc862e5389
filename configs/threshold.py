"""Intensity thresholds, plain and equalised, bright and dark; nothing is trained.

  python -m uad_jax.main --config=configs/threshold.py --workdir=runs/threshold

Arguments, data sets of uad_jax/base_config: `demo` (default), `slices`, `ixi`,
`ixi128`, `folder`, `cohort`, `stroke_flair`, `stroke_flair96`, `stroke_flair64`,
`images`.

Measured (docs/results.md): AUPRC on the test scans of the anomaly map (in brackets)
that each run chose on validation scans; means over seeds 0, 1 and 2 on slices of
64 x 64, seed 0 alone on slices of 128 x 128.

  demo (simulated)              AUPRC 0.013  (bright)
  ixi (inserted lesions)        AUPRC 0.093  (bright)
  ixi_percentile (heads)        AUPRC 0.052  (bright)
  ixi128_percentile (the same)  AUPRC 0.068  (bright)

Cost at 128 x 128 (docs/methods.json) on one core of an x86_64 machine: 355 MiB of
memory at the peak, in batches of 32 slices. Memory at 64 x 64 was not measured.
"""

from uad_jax import base_config


def get_config(arg: str = 'demo'):
  """Makes the config for the data set `arg`, a key of `base_config.DATA`."""
  config = base_config.get_config(arg)
  config.method.update(name='threshold')
  for rank, options in (('', {}), ('_equalised', dict(equalise=True, bins=256))):
    for sign in ('bright', 'dark'):
      row = dict(scorer='input_threshold', sign=sign, **options)
      config.scores[f'{sign}{rank}'] = row
  return config
