"""A network registers the mean of healthy scans to each scan (VoxelMorph).

  python -m uad_jax.main --config=configs/voxelmorph.py:ixi3d --workdir=runs/voxelmorph

Arguments, data sets of uad_jax/base_config: `demo` (default), `slices`, `volumes`,
`ixi`, `ixi128`, `ixi3d`, `folder`, `cohort`, `stroke_flair`, `stroke_flair96`,
`stroke_flair64`.

The widths are those of VoxelMorph-2; for volumes the field is predicted on half the
grid, without the convolutions on the full grid. `config.steps` is one pass over the
training scans for the template, the training of the network, and one pass for mean and
variance of the registered scans.

VoxelMorph-1, its training on pairs of scans, and a velocity field:

  --config.method.decoder="(32, 32, 32, 32, 8, 8)"
  --config.method.pairing=scans
  --config.method.field=velocity --config.method.bidirectional=True

With `--config.method.reweightings=2` the field is refined at inference, and lesions
count less for it (`moment_registration` from the network's start).

Cost of `ixi3d`: the gradient of 2 heads takes 0.65 s of one CPU core and a process of
it 1.1 GiB at the peak, so that 300 steps are some 4 minutes of one core. After them
(pairs of scans) the mean Dice of IXI's labels is 0.481, after 2 400 steps and with
`--config.method.smoothness=0.05` it is 0.522; it is 0.465 without a field and 0.591 by
the solver of `moment_registration` (`python -m benchmarks.registration_quality`).
`--config.method.passes=3` applies the network thrice: 0.504, with a ventricle Dice of
0.674 in the place of 0.649.
"""

from uad_jax import base_config

SLICES, VOLUMES = 16, 2
"""Batch sizes."""

HALF, FULL = (32, 32, 32, 32, 32), (32, 32, 32, 32, 32, 16, 16)
"""Widths of the decoder that ends on half the grid and on the full grid."""


def get_config(arg: str = 'demo'):
  """Makes the config for the data set `arg`, a key of `base_config.DATA`."""
  config = base_config.get_config(arg)
  volumes = arg in base_config.VOLUMES
  config.method.update(
    name='voxelmorph',
    bins=1 if arg in base_config.SINGLE else 16,
    encoder=(16, 32, 32, 32),
    decoder=HALF if volumes else FULL,
    pairing='atlas',
    similarity='mse',
    window=9,
    field='displacement',
    squarings=7,
    bidirectional=False,
    passes=1,
    smoothness=0.01,
    smooth=1.0,
    floor=0.03,
    reweightings=0,
    stiffness=4.0,
    freedom=4.0,
    refinement=(4, 2),
  )
  config.batch_size = VOLUMES if volumes else SLICES
  one_pass = base_config.one_pass(arg)
  config.steps = (one_pass, 300 if volumes else 600, one_pass)
  config.optimiser.update(name='adam', learning_rate=1e-3)
  config.scores.update(
    standardised=dict(scorer='standardised', of='reconstruction'),
    standardised_prior=dict(scorer='standardised', of='prior'),
    standardised_usual=dict(scorer='standardised', of='usual'),
    residual=dict(scorer='residual', of='reconstruction'),
    log_jacobian=dict(scorer='log_jacobian'),
  )
  return config
