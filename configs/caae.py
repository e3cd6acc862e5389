"""The constrained adversarial auto-encoder of Chen & Konukoglu 2018.

  python -m uad_jax.main --config=configs/caae.py --workdir=runs/caae

At 128 x 128 the network has the paper's widths, which works at 256 x 256, at 64 x 64
half of them and one halving fewer; `architecture='study'` is this loss on the network
of the comparative study, whose own constrained one is configs/baur2021.py:caae.

The paper's weight of the constraint, 1/2, belongs to z-scored images of 256 x 256: the
norm of an error over n x n voxels in [0, 1] is some n / 1024 of theirs, and a code's is
not. With 1/2 codes shrink until nothing is reconstructed (docs/tuning.md).

`config.steps` counts the critic's, of which there are 2 for each of the auto-encoder;
the paper's setting, with 20, is configs/chen2018.py.

`critic/wasserstein` and `critic/gradient_norm` in metrics.jsonl tell of divergence: the
first should settle, the second stay near 1.
"""

from uad_jax import base_config


def get_config(arg: str = 'demo'):
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
