"""Fast AnoGAN: a Wasserstein GAN of healthy slices, then an encoder into its codes.

  python -m uad_jax.main --config=configs/fanogan.py --workdir=runs/fanogan

At 128 x 128 the network is that of the comparative study of Baur et al. 2021, at 64 x
64 one of half the width and one halving fewer.

`config.steps` are those of the GAN, counted by the critic's (2 for each of the
generator), and those of the encoder. The study's setting, with 5, is
configs/baur2021.py:fanogan.

`critic/wasserstein` and `critic/gradient_norm` in metrics.jsonl tell of divergence: the
first should fall and settle, the second stay near 1.
"""

from uad_jax import base_config


def get_config(arg: str = 'demo'):
  config, fine = base_config.get_config(arg), arg in base_config.FINE
  widths = (32, 64, 128, 128) if fine else (16, 32, 64)
  config.method.update(
    name='fanogan',
    widths=widths,
    latent=128,
    critic=widths,
    penalty=10.0,
    kappa=1.0,
    dropout=0.0,
    bayesian=False,
  )
  return base_config.with_critic(
    config, 'encoder', critic_steps=2, steps=(5000, 1000), generator=5e-4
  )
