"""Denoising auto-encoder of Kascenas et al. 2022 at its published size.

  python -m uad_jax.main --config=configs/kascenas2022.py:slices --workdir=runs/kascenas

Arguments, data sets of uad_jax/base_config: `demo` (default), `slices`, `volumes`,
`ixi`, `ixi128`, `folder`, `cohort`, `stroke_flair`, `stroke_flair96`, `stroke_flair64`,
`images`.

`demo` has the sizes and steps of configs/denoising_ae.py. The other arguments train the
published size, for which an accelerator is needed. Time, memory and AUPRC were not
measured.

Published at 128 x 128 with four contrasts; with one contrast the network has 10 145 409
parameters. Adam in its `amsgrad` variant with an L2 penalty, as in the paper.
Departures: the number of steps, and one cosine over all of them (paper: 67 200 steps,
the rate goes up and down); a median over 3 voxels (paper: 5 x 5 in the slice, in an
eroded mask); normalisation before the activation (paper: after it, with
weight-normalised convolutions).

Published results: on the four contrasts of BraTS 2021 an average precision of about
0.83 and a best Dice of about 0.77 (both quoted from memory, not checked against the
paper; the threshold of that Dice is set on the test labels).
"""

from uad_jax import base_config


def get_config(arg: str = 'demo'):
  """Makes the config for the data set `arg`, a key of `base_config.DATA`."""
  config = base_config.get_config(arg)
  config.method.update(
    name='denoising_ae',
    widths=(64, 128, 256, 512),
    blocks=2,
    deviation=0.2,
    cells=16,
    position=False,
  )
  config.batch_size = 16
  config.steps = (60000,)
  config.optimiser.update(
    name='amsgrad',
    learning_rate=1e-4,
    schedule='cosine',
    warm_up=0.0,
    weight_decay=1e-5,
    clip=0.0,
  )
  config.scores.residual = dict(scorer='residual')
  if (arg or 'demo') == 'demo':
    base_config.shrink(config, __file__, 'denoising_ae', 'widths', 'blocks')
  return config
