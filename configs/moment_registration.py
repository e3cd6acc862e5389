"""Mean and variance of healthy scans, registered to each scan; no network is trained.

  python -m uad_jax.main --config=configs/moment_registration.py:ixi3d \
    --workdir=runs/moment_registration

Arguments, data sets of uad_jax/base_config: `demo` (default), `slices`, `volumes`,
`ixi`, `ixi128`, `ixi3d`, `folder`, `cohort`, `stroke_flair`, `stroke_flair96`,
`stroke_flair64`, `images`.

`config.steps` is one pass over the training scans for each stage: the voxelwise
moments, and the rounds of groupwise registration.

Measured (docs/results.md), seed 0: AUPRC on the test scans of the anomaly map (in
brackets) that the run chose on validation scans.

  ixi3d (inserted lesions)   AUPRC 0.554  (multiscale)
  stroke_flair64 (patients)  AUPRC 0.669  (multiscale_median5)

One head at 3 mm takes 0.8 s and at 2 mm 2.7 s of two CPU cores
(`python -m benchmarks.test_time_registration`).

The variants `uniform_*` are registrations in which all voxels count, at several
stiffnesses, in place of the gated one.
"""

from ml_collections.config_dict import placeholder

from uad_jax import base_config

UNIFORM = {'uniform_1': 1.0, 'uniform_4': 4.0, 'uniform_16': 16.0}
"""Stiffness of the registrations without a gate, by variant."""


def get_config(arg: str = 'demo'):
  """Makes the config for the data set `arg`, a key of `base_config.DATA`."""
  config = base_config.get_config(arg)
  config.method.update(
    name='moment_registration',
    bins=1 if arg in base_config.SINGLE else 16,
    rounds=2,
    smooth=1.0,
    floor=0.03,
    stiffness=8.0,
    first_stiffness=64.0,
    reweightings=2,
    freedom=32.0,
    steps=(8, 6, 1),
    refinement=(4, 1),
    solves=8,
    damping=0.1,
    compositions=2,
    draws=0,
    scales=(1.0, 2.0),
    limit=4.0,
    scale_floor=0.5,
    gate_widths=placeholder(tuple),  # None: no network, see configs/guided_moments.py
    painters=placeholder(tuple),
  )
  config.postprocess = 'none'  # The responses are smooth.
  one_pass = base_config.one_pass(arg)
  config.batch_size = 16
  if arg in base_config.VOLUMES:
    config.batch_size = 4
    one_pass //= 2
  config.steps = (one_pass,) * 4
  config.scores.update(
    multiscale=dict(scorer='multiscale', of='reconstruction'),
    multiscale_usual=dict(scorer='multiscale', of='usual'),
    standardised=dict(scorer='standardised', of='reconstruction'),
    standardised_stiff=dict(scorer='standardised', of='stiff'),
    standardised_prior=dict(scorer='standardised', of='prior'),
    standardised_usual=dict(scorer='standardised', of='usual'),
    residual=dict(scorer='residual', of='reconstruction'),
  )
  config.variant_scores = ('multiscale', 'standardised')
  for name, stiffness in UNIFORM.items():
    config.variants[name] = dict(open=0.0, strength=stiffness)
  return config
