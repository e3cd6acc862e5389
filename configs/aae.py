"""The adversarial auto-encoder: a critic draws the codes to a normal distribution.

  python -m uad_jax.main --config=configs/aae.py --workdir=runs/aae

At 128 x 128 the network is that of the comparative study of Baur et al. 2021, at 64 x
64 one of half the width and one halving fewer.

`config.steps` counts the critic's, of which there are 2 for each of the auto-encoder;
the study's setting, with 20, is configs/baur2021.py:aae.

`critic/wasserstein` and `critic/gradient_norm` in metrics.jsonl tell of divergence: the
first should settle, the second stay near 1.
"""

from uad_jax import base_config


def get_config(arg: str = 'demo'):
  config, fine = base_config.get_config(arg), arg in base_config.FINE
  config.method.update(
    name='aae',
    widths=(32, 64, 128, 128) if fine else (16, 32, 64),
    latent=128,
    dropout=0.2,
    critic=(50, 50),
    penalty=10.0,
    consistency=0.0,
    bayesian=False,
  )
  return base_config.with_critic(config, 'autoencoder', critic_steps=2, steps=(2000,))
