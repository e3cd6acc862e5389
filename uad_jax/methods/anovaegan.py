"""AnoVAEGAN: a variational auto-encoder with a critic that rates reconstructions.

Baur et al., "Deep autoencoding models for unsupervised anomaly segmentation in brain MR
images", BrainLes 2018, as their comparative study (Medical Image Analysis 69, 2021)
trains it.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from uad_jax.method import Batch, Method, Objective
from uad_jax.methods.families import variational, wasserstein
from uad_jax.nets.baur2021 import WIDTHS
from uad_jax.nets.critic import ImageCritic
from uad_jax.nets.layers.dropout import check_bayesian
from uad_jax.nets.layers.grid_norm import GridNorm
from uad_jax.ops import losses


def make(
  shape: tuple[int, ...],
  channels: int = 1,
  widths: Sequence[int] = WIDTHS,
  latent: int = 128,
  critic: Sequence[int] = WIDTHS,
  critic_steps: int = 5,
  penalty: float = 10.0,
  dropout: float = 0.0,
  bayesian: bool = False,
) -> Method:
  """Builds an AnoVAEGAN: a VAE trained against a critic of its reconstructions.

  Losses by objective: 'vae', sum |x - x'| + KL(q(z | x) || N(0, I)), both summed over a
  scan; 'critic', <C(x')> - <C(x)> + penalty <(|grad C| - 1)^2>; 'generator', which
  trains the decoder, -<C(x')>; each with z drawn from q, <.> the mean over examples.
  The second head of q is its log deviation.

  Departures: the gradient's norm is over the whole image (the study's program sums over
  one axis); the sum is over the brain, outside of which the critic sees zeros;
  inference decodes the mean; the log-variance is kept within bounds. As in the study
  the critic rates patches, and decoder and critic have a layer normalisation over the
  grid.

  Args:
    shape: Spatial shape of the images, which must halve for each width.
    channels: Number of contrasts.
    widths: Encoder widths, one for each halving of the grid; the decoder mirrors them.
    latent: Size of the latent vector.
    critic: Widths of the critic, one for each halving of the grid.
    critic_steps: Steps of the critic for each step of the two other objectives.
    penalty: Weight of the critic's gradient penalty.
    dropout: Dropout rate after each dense layer of encoder and decoder; 0.2 in the
      study.
    bayesian: Keep dropout on at inference, drawn from the key; a Monte Carlo scorer
      then averages over keys (Gal and Ghahramani 2016).
  """
  check_bayesian('anovaegan', bayesian, dropout)
  nets = variational.study(shape, channels, widths, latent, dropout, GridNorm)
  critic_net = ImageCritic(critic)

  def brain(batch):
    return batch['image'] * batch['mask']

  def decode(params, batch, z, noise):
    return nets.decode(params, z, batch['position'], noise)[0] * batch['mask']

  def rate(params, image):
    return critic_net.apply({'params': params['critic']}, image)[0]

  def reconstruct(params, batch, key):
    """Decodes a draw of z; the reconstruction and the KL divergence by value of z."""
    noise = jax.random.fold_in(key, 1)  # apart from the draw of z
    mean, log_variance = nets.encode(params, brain(batch), noise)
    z = variational.sample(key, mean, log_variance)
    return decode(params, batch, z, noise), losses.kl_normal(mean, log_variance)

  def init(key, batch: Batch):
    key_critic = jax.random.split(key, 3)[2]  # the first two are the networks' keys
    variables = critic_net.init(key_critic, batch['image'])
    return {**nets.init(key, batch), 'critic': variables['params']}, {}

  def loss(params, stats, batch: Batch, key, step):
    expected, kl = reconstruct(params, batch, key)
    error = losses.example_sum(jnp.abs(brain(batch) - expected))
    error = losses.example_mean(error, batch['weight'])
    kl = losses.example_mean(losses.example_sum(kl), batch['weight'])
    return error + kl, (stats, {'l1': error, 'kl': kl})

  def draw(params, batch, key):
    """Images are real, their reconstructions fake."""
    return brain(batch), reconstruct(params, batch, key)[0]

  def infer(params, stats, batch: Batch, key):
    noise = key if bayesian else None
    mean, log_variance = nets.encode(params, brain(batch), noise)
    expected = decode(params, batch, mean, noise)
    rec = losses.example_sum(jnp.abs(brain(batch) - expected))
    z = variational.sample(jax.random.fold_in(key, 2), mean, log_variance)
    return {
      'latent': mean,
      'sampled': decode(params, batch, z, noise),
      'reconstruction': expected,
      **variational.elbo_terms(rec, mean, log_variance),
      'features': nets.features(params, brain(batch)),
    }

  train_critic, train_generator = wasserstein.adversarial_losses(draw, rate, penalty)
  objectives = {
    'vae': Objective(loss, ('encoder', 'decoder'), every=critic_steps),
    'critic': Objective(train_critic, ('critic',), bounds=wasserstein.BOUNDS),
    'generator': Objective(train_generator, ('decoder',), every=critic_steps),
  }
  return Method(init, objectives, infer)
