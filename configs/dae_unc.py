"""Uncertainty-guided deformable auto-encoder, this project's method.

  python -m uad_jax.main --config=configs/dae_unc.py --workdir=runs/dae_unc

Arguments: `first` (default), or a data set of uad_jax/base_config: `demo`, `slices`,
`volumes`, `ixi`, `ixi128`, `ixi3d`, `folder`, `cohort`, `stroke_flair`,
`stroke_flair96`, `stroke_flair64`, `images`.

`first` is a quick look: the data and networks of `demo` with a sixth of the steps of
the gate, which has not finished learning then (not measured).

The variants `uniform_*` are inferences of the same training with a uniform strength in
place of the gated field.

Measured (docs/results.md), means over seeds 0, 1 and 2 on slices of 64 x 64 (96 x 96
for `stroke_flair96`; `ixi3d` is seed 0): minutes of training, on two CPU cores
(docs/comparison.md), and AUPRC on the test scans of the anomaly map (in brackets) that
each run chose on validation scans. `ixi`, `ixi3d` and `stroke_flair96` were trained on
one core beside other work; `dae_unc_plain` is the same without random contrasts.

  demo (simulated)        11.2 minutes   AUPRC 0.596  (posterior)
  ixi (inserted lesions)  37.3 minutes   AUPRC 0.535  (fused)
  the same, plain         15.2 minutes   AUPRC 0.517  (fused)
  ixi_percentile (heads)  11.2 minutes   AUPRC 0.412  (fused)
  ixi3d (whole heads)    116.4 minutes   AUPRC 0.420  (fused)
  stroke_flair64 (3 mm)    7.2 minutes   AUPRC 0.706  (log_odds_1)
  stroke_flair96 (2 mm)   19.2 minutes   AUPRC 0.727  (log_odds_1_median5)

By kind of lesion `ixi` has 0.691 (bright), 0.685 (dark) and 0.105 (iso-intense).

Cost at 128 x 128 (docs/methods.json) on one core of an x86_64 machine: 1.3 / 269 / 303
/ 193 ms by stage for a training step of 16 slices, 947 MiB of memory at the peak.
Memory at 64 x 64 was not measured. A step of two heads of `ixi3d` takes 2.1 s (prior),
2.6 s (gate) and 0.9 s (deformer) of one core without other work, 36 minutes in all, and
a process of these gradients 3.6 GiB at the peak. For whole heads
`configs/moment_registration.py:ixi3d` is the better choice (AUPRC 0.554).
"""

from ml_collections.config_dict import placeholder

from uad_jax import base_config

UNIFORM = {
  'uniform_0p1': 0.1,
  'uniform_0p3': 0.3,
  'uniform_1': 1.0,
  'uniform_3': 3.0,
  'uniform_10': 10.0,
  'uniform_30': 30.0,
}
"""Uniform strengths of the regularisation, by variant, which the gate has to beat."""

RANDOMISED = ('ixi', 'ixi128')
"""Data sets of T1 scans, on which the training sees random contrasts, bias fields and
resolutions as well, so that scans of another scanner are marked less."""


def get_config(arg: str = 'first'):
  """Makes the config for `arg`: 'first' or a key of `base_config.DATA`."""
  first, fine = arg == 'first', arg in base_config.FINE
  config = base_config.get_config('demo' if first else arg)
  config.method.update(
    name='dae_unc',
    bins=1 if arg in base_config.SINGLE else 32,
    widths=(8, 16, 32, 64, 128) if fine else (16, 32, 64, 128),
    latent=16,
    heads=3,
    position=True,
    denoise=0.5,
    deformer_widths=(8, 16, 32, 32),
    deformer_every=4 if first or arg == 'demo' else 6,
    coarse=2 if fine or arg in base_config.VOLUMES else 1,
    gate_widths=(8, 16, 32, 64) if fine else (16, 32, 64),
    gate_prior=False,
    mirror=placeholder(bool),  # None: not used
    painters=('factor', 'shift', 'constant', 'patch', 'texture', 'smear'),
    open_by=('learned', 'standardised', 'epistemic'),
    healthy_share=0.01,
    two_pass=True,
    hinge=True,
    strength=0.3,
    strength_range=(0.03, 30.0),
    stiff_strength=30.0,
    stiffness_ratio=10.0,
    magnitude=1.0,
    data_weight=1.0,
    window=9,
    dilation=1,
    similarity='mse',
    mse_weight=50.0,
    twin=1.0,
    solve=False,
    beta=0.5,
  )
  config.batch_size = 16
  # By stage: one pass over the training scans; prior; gate and deformer; one pass over
  # the validation scans.
  config.steps = (110, 500, 3600, 25)
  if first:
    config.steps = (60, 200, 600, 20)
  elif arg == 'demo':
    config.steps = (60, 200, 3600, 20)
  elif fine:
    config.steps = (160, 500, 3600, 35)
  elif arg in base_config.VOLUMES:
    config.batch_size = 2
    config.steps = (base_config.one_pass(arg), 200, 600, 4)
  config.adapt.augment = dict(flips=(0,), gamma=0.0, gain=0.0)
  config.adapt.ema = dict(decay=0.99)
  if arg in RANDOMISED:
    config.adapt.randomise = dict(base_config.RANDOMISE)
  config.scores.update(
    posterior=dict(scorer='output', of='posterior'),
    fused=dict(scorer='output', of='fused'),
    standardised=dict(scorer='standardised', of='reconstruction'),
    standardised_prior=dict(scorer='standardised', of='prior'),
    residual=dict(scorer='residual', of='reconstruction'),
    residual_prior=dict(scorer='residual', of='prior'),
    ssim=dict(scorer='ssim', of='reconstruction'),
    log_jacobian=dict(scorer='log_jacobian'),
  )
  if arg.startswith('stroke_flair'):
    # Without 'patch' and 'smear', which hardly brighten (docs/findings.md).
    config.method.painters = ('factor', 'shift', 'constant', 'texture')
    # The gate network is the better on real lesions the sooner it stops, and with the
    # other half of the brain in sight (docs/findings.md).
    config.method.update(mirror=True, deformer_every=1)
    config.steps = (*config.steps[:2], 500, config.steps[3])
    for name, weight in (('0p5', 0.5), ('1', 1.0), ('1p5', 1.5), ('2', 2.0)):
      config.scores[f'log_odds_{name}'] = dict(scorer='log_odds', brightness=weight)
  config.variant_scores = ('standardised', 'fused')
  for name, strength in UNIFORM.items():
    config.variants[name] = dict(open=0.0, strength=strength)
  return config
