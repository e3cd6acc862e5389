"""Constrained adversarial auto-encoder: an image and its reconstruction share a code.

Chen & Konukoglu, "Unsupervised detection of lesions in brain MRI using constrained
adversarial auto-encoders", 2018 (arXiv 1806.04972).
"""

from collections.abc import Sequence

import jax.numpy as jnp

from uad_jax.method import Batch, Method
from uad_jax.methods.families import wasserstein
from uad_jax.methods.families.latent_vector import ARCHITECTURES
from uad_jax.nets.layers.dropout import check_bayesian
from uad_jax.ops import losses


def make(
  shape: tuple[int, ...],
  channels: int = 1,
  architecture: str = 'chen2018',
  widths: Sequence[int] = (32, 64, 128, 256),
  latent: int = 128,
  dropout: float = 0.0,
  critic: Sequence[int] = (200, 400),
  critic_steps: int = 20,
  penalty: float = 10.0,
  consistency: float = 0.5,
  bayesian: bool = False,
) -> Method:
  """A lesion is to be coded as its healthy version, whose codes are near N(0, I).

  autoencoder: E sqrt(sum (x - x')^2 + 1e-8) + consistency E sum (z - E(x'))^2 with
  z = E(x), x' = D(z); critic C: E C(E(x)) - E C(n) + penalty E (|grad C| - 1)^2,
  n ~ N(0, I); generator, which is the encoder: -E C(E(x)). The weight of 1/2 is that of
  the authors' program; the paper writes 1.

  Departures: the critic is high at the prior, theirs low, which is the same training;
  the sum is over the brain only, and the network sees zeros outside; their program
  gives the critic ten times as many steps in the first 20 epochs, here always the same
  number; no head for a deviation, which their loss does not use. The comparative study
  of Baur et al. 2021 runs its cAAE with other losses (means) and the critic 100-50.

  Args:
    shape: Spatial shape, which halves as often as there are widths.
    channels: Number of contrasts.
    architecture: 'chen2018', residual, or 'study', the network of Baur et al. 2021.
    widths: Encoder widths, one a halving of the grid.
    latent: Values of the code.
    dropout: Rate, on the code and after the decoder's dense layer.
    critic: Widths of the critic.
    critic_steps: Steps of the critic, one each step, for each of the two others.
    penalty: Weight of the critic's gradient penalty.
    consistency: Weight of the distance between the two codes.
    bayesian: Dropout stays on at inference, drawn from the key: a Monte Carlo scorer
      averages over keys (Gal and Ghahramani 2016).
  """
  if architecture not in ARCHITECTURES:
    raise ValueError(
      f"caae: unknown architecture '{architecture}'; there are "
      f'{", ".join(ARCHITECTURES)}'
    )
  check_bayesian('caae', bayesian, dropout)
  net = ARCHITECTURES[architecture](shape, channels, widths, latent, dropout)

  def reconstruct(params, stats, batch: Batch, key, step):
    image = batch['image'] * batch['mask']
    z = net.encode(params, image)
    found = net.decode(params, z, noise=key) * batch['mask']
    error = jnp.sqrt(losses.example_sum((image - found) ** 2) + 1e-8)
    gap = losses.example_sum((z - net.encode(params, found)) ** 2)
    error, gap = (losses.example_mean(v, batch['weight']) for v in (error, gap))
    return error + consistency * gap, (stats, {'l2': error, 'consistency': gap})

  return wasserstein.coded(net, reconstruct, critic, critic_steps, penalty, bayesian)
