"""VQ-VAE and transformer of Pinaya et al. 2021 at their published size.

  python -m uad_jax.main --config=configs/pinaya2021.py:slices --workdir=runs/pinaya

Arguments, data sets of uad_jax/base_config: `demo` (default), `slices`, `ixi`,
`ixi128`, `folder`, `cohort`, `stroke_flair`, `stroke_flair96`, `stroke_flair64`,
`images`.

Pinaya et al., arXiv 2102.11650; Medical Image Analysis 79, 2022. `demo` has the sizes
of configs/vqvae_transformer.py and fewer steps. The other arguments train the published
size, for which an accelerator is needed. Time, memory and AUPRC were not measured.

Sizes of the authors' group as far as they are known: 3 halvings, 256 channels, 32 codes
of 256 values, commitment 0.25, decay 0.99; a transformer of 256 channels, 16 blocks and
8 heads; all 8 raster orders; codes with p below 0.005 are healed; Adam with 5e-4 for
the VQ-VAE and 1e-4 for the transformer; no post-processing.

Published: best Dice on the 4 central slices of BraTS 0.759, of MSLUB 0.465, of WMH
0.441 (FLAIR, trained on 15 000 subjects; quoted by Meissen et al. 2021, whose threshold
of the image has 0.738, 0.613 and 0.557 there). Another version of the paper has other
numbers under another protocol.
"""

from uad_jax import base_config

SIZES = dict(
  widths=(256, 256, 256), units=2, codes=32, size=256, width=256, depth=16, heads=8,
  rasters=8,
)  # fmt: skip


def get_config(arg: str = 'demo'):
  """Makes the config for the data set `arg`, a key of `base_config.DATA`."""
  config = base_config.get_config(arg)
  config.method.update(
    name='vqvae_transformer', **SIZES, decay=0.99, commitment=0.25, likely=0.005
  )
  config.batch_size = 32
  config.steps = (100_000, 100_000)
  config.optimiser.update(
    name='adam', learning_rate=5e-4, schedule='constant', clip=0.0
  )
  config.optimisers.transformer = dict(learning_rate=1e-4)
  config.postprocess = 'none'
  config.scores.update(
    healing=dict(scorer='healing', smooth=2.0),
    likelihood=dict(scorer='likelihood'),
    residual=dict(scorer='residual'),
  )
  if (arg or 'demo') == 'demo':
    base_config.shrink(config, __file__, 'vqvae_transformer', *SIZES)
    config.batch_size, config.steps = 16, (300, 300)
  return config
