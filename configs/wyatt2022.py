"""AnoDDPM (Wyatt et al. 2022) at the size of its paper.

  python -m uad_jax.main --config=configs/wyatt2022.py:slices --workdir=runs/anoddpm

Arguments, data sets of uad_jax/base_config: `demo` (default), `slices`, `volumes`,
`ixi`, `ixi128`, `folder`, `cohort`, `stroke_flair`, `stroke_flair96`, `stroke_flair64`,
`images`.

`demo` has the sizes and steps of configs/ddpm.py, with 10 hops instead of 250. The
other arguments train the published size, for which an accelerator is needed: one scan
takes 250 evaluations of the network. Time, memory and AUPRC were not measured.

Published at 256 x 256 with six levels, a batch of 1 and 3000 epochs. Here the number of
levels follows the grid, so that the coarsest is 8 x 8 as in the paper (94 993 153
parameters at 128 x 128); batch and number of steps are ours. Departures of the U-Net
and the chain from the authors' program: the time scales and shifts features instead of
being added; strided convolutions halve the grid and linear interpolation doubles it,
instead of residual blocks; attention is at 16 x 16 and below, as the paper says (the
program also attends at 32 x 32); a reverse step has the variance of the posterior
instead of beta_t, nearly the same where each of the 250 steps is taken.

Published results: on T1 of 22 gliomas (Edinburgh) a Dice of 0.383 +- 0.258 and an AUC
of 0.863 (quoted from memory, not checked against the paper; their slices were chosen by
hand).
"""

from uad_jax import base_config


def get_config(arg: str = 'demo'):
  """Makes the config for the data set `arg`, a key of `base_config.DATA`."""
  config, fine = base_config.get_config(arg), arg in base_config.FINE
  config.method.update(
    name='ddpm',
    widths=(128, 128, 256, 384, 512) if fine else (128, 256, 384, 512),
    blocks=2,
    attention=16,
    heads=2,
    schedule='linear',
    steps=1000,
    furthest=800,
    start=250,
    hops=0,
    samples=1,
    noise='simplex',
    octaves=6,
    persistence=0.8,
    coarsest=0.25,
    bounds=(0.0, 1.0),
    position=False,
  )
  config.batch_size = 8
  config.steps = (60000,)
  config.adapt.ema = dict(decay=0.9999)
  config.optimiser.update(
    name='adamw', learning_rate=1e-4, schedule='constant', weight_decay=0.0, clip=1.0
  )
  config.scores.residual = dict(scorer='residual')
  if (arg or 'demo') == 'demo':
    sizes = ('widths', 'blocks', 'attention', 'heads', 'furthest', 'start', 'hops')
    base_config.shrink(config, __file__, 'ddpm', *sizes)
  return config
