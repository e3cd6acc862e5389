"""Adversarial auto-encoder trained to give scan and reconstruction the same latent.

This is the constrained adversarial auto-encoder (cAAE) of Chen & Konukoglu,
"Unsupervised detection of lesions in brain MRI using constrained adversarial
auto-encoders", 2018 (arXiv 1806.04972).
"""

from collections.abc import Sequence

import jax.numpy as jnp

from uad_jax.method import Batch, Method
from uad_jax.methods.families import wasserstein
from uad_jax.methods.families.latent_vector import ARCHITECTURES
from uad_jax.nets.layers.dropout import check_bayesian
from uad_jax.ops import losses
from uad_jax.ops.choices import choose


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
  """Builds an adversarial auto-encoder with equal latents of scan and reconstruction.

  By this constraint a scan with a lesion is to have the latent of its healthy version;
  a critic pulls the latents towards N(0, I).

  Losses by objective, <.> the mean over examples: 'autoencoder',
  <sqrt(sum (x - x')^2 + 1e-8)> + consistency <sum (z - E(x'))^2>, z = E(x), x' = D(z);
  'critic', <C(E(x))> - <C(n)> + penalty <(|grad C| - 1)^2> with n ~ N(0, I);
  'generator', which trains the encoder, -<C(E(x))>. The default 1/2 of `consistency` is
  from the authors' program; the paper writes 1.

  Departures: the critic rates draws of the prior high, theirs rates them low, an
  equivalent training; the sum is over the brain only, and the network sees zeros
  outside; their program gives the critic ten times as many steps in the first 20
  epochs, here always the same number; no head for a deviation, which their loss does
  not use. The comparative study of Baur et al. 2021 runs its cAAE with other losses
  (means) and a critic of widths 100-50.

  Args:
    shape: Spatial shape of the images, which must halve for each width.
    channels: Number of contrasts.
    architecture: 'chen2018', a residual network, or 'study', the one of Baur et al.
      2021.
    widths: Encoder widths, one for each halving of the grid.
    latent: Size of the latent vector.
    dropout: Dropout rate on the latent and after the decoder's dense layer.
    critic: Widths of the critic's hidden layers.
    critic_steps: Steps of the critic for each step of the two other objectives.
    penalty: Weight of the critic's gradient penalty.
    consistency: Weight of the distance between the latents of image and
      reconstruction.
    bayesian: Keep dropout on at inference, drawn from the key; a Monte Carlo scorer
      then averages over keys (Gal and Ghahramani 2016).

  Raises:
    ValueError: The architecture is unknown.
  """
  build = choose('architecture', architecture, ARCHITECTURES, 'caae')
  check_bayesian('caae', bayesian, dropout)
  net = build(shape, channels, widths, latent, dropout)

  def reconstruct(params, stats, batch: Batch, key, step):
    image = batch['image'] * batch['mask']
    z = net.encode(params, image)
    expected = net.decode(params, z, noise=key) * batch['mask']
    error = jnp.sqrt(losses.example_sum((image - expected) ** 2) + 1e-8)
    gap = losses.example_sum((z - net.encode(params, expected)) ** 2)
    error, gap = (losses.example_mean(v, batch['weight']) for v in (error, gap))
    return error + consistency * gap, (stats, {'l2': error, 'consistency': gap})

  return wasserstein.adversarial_autoencoder(
    net, reconstruct, critic, critic_steps, penalty, bayesian
  )
