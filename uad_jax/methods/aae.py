"""Adversarial auto-encoder (AAE), whose latents a critic pulls towards N(0, I).

Makhzani et al., "Adversarial autoencoders", 2016, as the comparative study of Baur et
al. (Medical Image Analysis 69, 2021) trains it.
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
  """Builds an adversarial auto-encoder, whose latents a critic pulls towards N(0, I).

  Losses by objective, <.> the mean over examples: 'autoencoder', mean (x - D(E(x)))^2
  over the brain; 'critic', <C(E(x))> - <C(n)> + penalty <(|grad C| - 1)^2> with
  n ~ N(0, I); 'generator', which trains the encoder, -<C(E(x))>. With `consistency` the
  auto-encoder's loss also has this weight times mean (E(x) - E(D(E(x))))^2: the
  constrained AAE as Baur et al. 2021 run it (`caae` is Chen & Konukoglu's).

  Departures: the penalty is taken between latents and prior draws (the reference
  program extrapolates away from them); the reference program updates the auto-encoder
  20 times per batch in its first epochs, here always once; the critic sees latents
  before their dropout, which no normal prior has; errors outside the brain do not
  count.

  Args:
    shape: Spatial shape of the images, which must halve for each width.
    channels: Number of contrasts.
    widths: Encoder widths, one for each halving of the grid.
    latent: Size of the latent vector.
    dropout: Dropout rate on the latent and after the decoder's dense layer.
    critic: Widths of the critic's hidden layers.
    critic_steps: Steps of the critic for each step of the two other objectives.
    penalty: Weight of the critic's gradient penalty.
    consistency: Weight of the distance between the latents of image and
      reconstruction; 0 in the plain AAE.
    bayesian: Keep dropout on at inference, drawn from the key; a Monte Carlo scorer
      then averages over keys (Gal and Ghahramani 2016).
  """
  check_bayesian('aae', bayesian, dropout)
  net = latent_vector.study(shape, channels, widths, latent, dropout)

  def reconstruct(params, stats, batch: Batch, key, step):
    error, gap = latent_vector.errors(net, params, batch, key)
    return error + consistency * gap, (stats, {'mse': error, 'consistency': gap})

  return wasserstein.adversarial_autoencoder(
    net, reconstruct, critic, critic_steps, penalty, bayesian
  )
