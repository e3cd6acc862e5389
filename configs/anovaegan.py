"""A variational auto-encoder whose reconstructions a critic judges.

  python -m uad_jax.main --config=configs/anovaegan.py --workdir=runs/anovaegan

At 128 x 128 the network is that of the comparative study of Baur et al. 2021, at 64 x
64 one of half the width and one halving fewer. `config.steps` counts the critic's, of
which there are 5 for each of the auto-encoder. The study trains with batches of 8 at
1e-4:

  --config.batch_size=8 --config.optimiser.learning_rate=1e-4 --config.steps=...

`critic/wasserstein` and `critic/gradient_norm` in metrics.jsonl tell of divergence: the
first should fall and settle, the second stay near 1.
"""

from uad_jax import defaults


def get_config(arg: str = 'demo'):
  config, fine = defaults.get_config(arg), arg in defaults.FINE
  widths = (32, 64, 128, 128) if fine else (16, 32, 64)
  config.method.update(
    name='anovaegan',
    widths=widths,
    latent=128,
    critic=widths,
    critic_steps=5,
    penalty=10.0,
    dropout=0.0,
    bayesian=False,
  )
  return defaults.with_critic(config, steps=(2000,))
