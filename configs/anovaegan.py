"""AnoVAEGAN: variational auto-encoder with a critic of its reconstructions.

  python -m uad_jax.main --config=configs/anovaegan.py --workdir=runs/anovaegan

Arguments, data sets of uad_jax/base_config: `demo` (default), `slices`, `ixi`,
`ixi128`, `folder`, `cohort`, `stroke_flair`, `stroke_flair96`, `stroke_flair64`,
`images`.

At 128 x 128 the network is that of the comparative study of Baur et al. 2021; at
64 x 64 it has half the width and one halving fewer.

`config.steps` counts the steps of the critic, 2 for each step of the auto-encoder. The
setting of the study, with 5, is configs/baur2021.py:anovaegan.

To see divergence, read `critic/wasserstein` and `critic/gradient_norm` in
metrics.jsonl: the first should fall and settle, the second stay near 1.

Measured (docs/results.md), means over seeds 0, 1 and 2 on slices of 64 x 64: minutes of
training, on two CPU cores (docs/comparison.md), and AUPRC on the test scans of the
anomaly map (in brackets) that each run chose on validation scans.

  demo (simulated)         3.7 minutes   AUPRC 0.058  (ssim)
  ixi_percentile (heads)   3.8 minutes   AUPRC 0.053  (residual)

Cost at 128 x 128 (docs/methods.json) on one core of an x86_64 machine: 964 ms for a
training step of 16 slices, 797 MiB of memory at the peak. Memory at 64 x 64 was not
measured.
"""

from uad_jax import base_config


def get_config(arg: str = 'demo'):
  """Makes the config for the data set `arg`, a key of `base_config.DATA`."""
  config, fine = base_config.get_config(arg), arg in base_config.FINE
  widths = (32, 64, 128, 128) if fine else (16, 32, 64)
  config.method.update(
    name='anovaegan',
    widths=widths,
    latent=128,
    critic=widths,
    penalty=10.0,
    dropout=0.0,
    bayesian=False,
  )
  return base_config.with_critic(config, 'vae', critic_steps=2, steps=(2000,))
