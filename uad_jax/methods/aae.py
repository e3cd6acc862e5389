"""Adversarial auto-encoder (Makhzani et al. 2016) with a Wasserstein critic of codes.

As the comparative study of Baur et al. (Medical Image Analysis 69, 2021) trains it.
"""

from collections.abc import Sequence

from uad_jax.method import Batch, Method
from uad_jax.methods.families import latent_vector, wasserstein
from uad_jax.nets.baur2021 import WIDTHS
from uad_jax.nets.layers.dropout import check_bayesian


def make(
  shape: tuple[int, ...],
  channels: int = 1,
  widths: Sequence[int] = WIDTHS,
  latent: int = 128,
  dropout: float = 0.2,
  critic: Sequence[int] = (50, 50),
  critic_steps: int = 20,
  penalty: float = 10.0,
  consistency: float = 0.0,
  bayesian: bool = False,
) -> Method:
  """The code's distribution is drawn to N(0, I) by a critic, not by a KL divergence.

  autoencoder: mean (x - D(E(x)))^2 in the brain; critic C: E C(E(x)) - E C(n) +
  penalty E (|grad C| - 1)^2, n ~ N(0, I); generator, which is the encoder: -E C(E(x)).
  With `consistency` the auto-encoder's loss has that times mean (E(x) - E(D(E(x))))^2
  besides: the constrained one, as the study runs it (Chen & Konukoglu's own is `caae`).

  Departures: the penalty is taken between code and prior (the reference program
  extrapolates away from them); the reference program moves the auto-encoder 20 times a
  batch in its first epochs, here always once; the critic sees the code before its
  dropout, which no normal prior has; errors outside the brain do not count.

  Args:
    shape: Spatial shape, which halves as often as there are widths.
    channels: Number of contrasts.
    widths: Encoder widths, one a halving of the grid.
    latent: Values of the code.
    dropout: Rate, on the code and after the decoder's dense layer.
    critic: Widths of the critic.
    critic_steps: Steps of the critic, one each step, for each of the two others.
    penalty: Weight of the critic's gradient penalty.
    consistency: Weight of the distance between the two codes; 0 in the plain one.
    bayesian: Dropout stays on at inference, drawn from the key: a Monte Carlo scorer
      averages over keys (Gal and Ghahramani 2016).
  """
  check_bayesian('aae', bayesian, dropout)
  net = latent_vector.study(shape, channels, widths, latent, dropout)

  def reconstruct(params, stats, batch: Batch, key, step):
    error, gap = latent_vector.errors(net, params, batch, key)
    return error + consistency * gap, (stats, {'mse': error, 'consistency': gap})

  return wasserstein.coded(net, reconstruct, critic, critic_steps, penalty, bayesian)
