"""Constrained adversarial auto-encoder (Chen & Konukoglu 2018).

  python -m uad_jax.main --config=configs/caae.py --workdir=runs/caae

Arguments, data sets of uad_jax/base_config: `demo` (default), `slices`, `ixi`,
`ixi128`, `folder`, `cohort`, `stroke_flair`, `stroke_flair96`, `stroke_flair64`,
`images`.

At 128 x 128 the network has the widths of the paper, which works at 256 x 256; at
64 x 64 it has half of them and one halving fewer. `--config.method.architecture=study`
trains this loss on the network of the comparative study, whose constrained auto-encoder
is configs/baur2021.py:caae.

The weight of the constraint is below the 1/2 of the paper, which belongs to z-scored
images of 256 x 256: the norm of an error over n x n voxels in [0, 1] is about n / 1024
of the norm there, while the norm of a code is the same. With 1/2 the codes shrink until
nothing is reconstructed (docs/tuning.md).

`config.steps` counts the steps of the critic, 2 for each step of the auto-encoder. The
setting of the paper, with 20, is configs/chen2018.py.

To see divergence, read `critic/wasserstein` and `critic/gradient_norm` in
metrics.jsonl: the first should settle, the second stay near 1.

Measured (docs/results.md), means over seeds 0, 1 and 2 on slices of 64 x 64: minutes of
training, on two CPU cores (docs/comparison.md), and AUPRC on the test scans of the
anomaly map (in brackets) that each run chose on validation scans.

  demo (simulated)         5.9 minutes   AUPRC 0.082  (ssim in 2, residual in 1)
  ixi_percentile (heads)   6.3 minutes   AUPRC 0.109  (residual)

Cost at 128 x 128 (docs/methods.json) on one core of an x86_64 machine: 1568 ms for a
training step of 16 slices, 1867 MiB of memory at the peak. Memory at 64 x 64 was not
measured.
"""

from uad_jax import base_config


def get_config(arg: str = 'demo'):
  """Makes the config for the data set `arg`, a key of `base_config.DATA`."""
  config, fine = base_config.get_config(arg), arg in base_config.FINE
  config.method.update(
    name='caae',
    architecture='chen2018',
    widths=(32, 64, 128, 256) if fine else (16, 32, 64),
    latent=128,
    dropout=0.0,
    critic=(200, 400),
    penalty=10.0,
    consistency=0.5 * base_config.norm_share(arg),
    bayesian=False,
  )
  return base_config.with_critic(config, 'autoencoder', critic_steps=2, steps=(2000,))
