"""Fast AnoGAN: a GAN of healthy images, and an encoder that inverts the generator.

Schlegl et al., "f-AnoGAN: Fast unsupervised anomaly detection with generative
adversarial networks", Medical Image Analysis 54, 2019, with the network of the
comparative study of Baur et al. (Medical Image Analysis 69, 2021).
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from uad_jax.method import Batch, Method, Objective
from uad_jax.methods.families import wasserstein
from uad_jax.nets.baur2021 import WIDTHS, StudyDecoding, StudyEncoding
from uad_jax.nets.critic import ImageCritic
from uad_jax.nets.layers.dropout import apply, check_bayesian
from uad_jax.nets.layers.feature_taps import finest
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
  kappa: float = 1.0,
  dropout: float = 0.0,
  bayesian: bool = False,
) -> Method:
  """Builds f-AnoGAN: a GAN of healthy images and an encoder that inverts the generator.

  Stage 0 trains the GAN, a Wasserstein GAN, stage 1 the encoder into its latent space.
  Losses by objective, <.> the mean over examples:
  'critic', <C(G(n))> - <C(x)> + penalty <(|grad C| - 1)^2> with n ~ N(0, I);
  'generator', -<C(G(n))>; 'encoder',
  mean (x - G(E(x)))^2 + kappa mean (f(x) - f(G(E(x))))^2, where f are the critic's last
  features (the paper's izi_f training). E ends in tanh, G in a sigmoid, for images in
  [0, 1].

  Departures: the gradient's norm is over the whole image (the study's program sums over
  one axis); in stage 1 errors outside the brain do not count, and f sees zeros there.
  As in the study the critic rates patches, and generator and critic have a layer
  normalisation over the grid. A scan's score is computed from its anomaly map, as for
  all methods; the paper adds the error of the features to the error of the image.

  Args:
    shape: Spatial shape of the images, which must halve for each width.
    channels: Number of contrasts.
    widths: Encoder widths, one for each halving of the grid; the generator mirrors
      them.
    latent: Size of the latent vector.
    critic: Widths of the critic, one for each halving of the grid.
    critic_steps: Steps of the critic for each step of the generator.
    penalty: Weight of the critic's gradient penalty.
    kappa: Weight of the critic's features in stage 1.
    dropout: Dropout rate after each dense layer of encoder and generator; 0.2 in the
      study.
    bayesian: Keep dropout on at inference, drawn from the key; a Monte Carlo scorer
      then averages over keys (Gal and Ghahramani 2016).
  """
  check_bayesian('fanogan', bayesian, dropout)
  encoder = StudyEncoding(widths, latent, dropout=dropout)
  decoder = StudyDecoding(shape, channels, widths, dropout=dropout, norm=GridNorm)
  critic_net = ImageCritic(critic)

  def brain(batch):
    return batch['image'] * batch['mask']

  def encode(params, image, noise):
    return jnp.tanh(apply(encoder, params['encoder'], image, noise=noise)[0])

  def generate(params, z, noise):
    if noise is not None:
      noise = jax.random.fold_in(noise, 1)  # other draws than for the encoder and z
    return jax.nn.sigmoid(apply(decoder, params['generator'], z, noise=noise))

  def rate(params, image):
    """The critic's ratings [B] and last features."""
    return critic_net.apply({'params': params['critic']}, image)

  def sample_prior(key, batch):
    """Draws latents from N(0, I), [B, Z]."""
    return jax.random.normal(key, (len(batch['image']), latent))

  def init(key, batch: Batch):
    key_encoder, key_generator, key_critic = jax.random.split(key, 3)
    variables = {
      'encoder': encoder.init(key_encoder, batch['image']),
      'generator': decoder.init(key_generator, sample_prior(key, batch)),
      'critic': critic_net.init(key_critic, batch['image']),
    }
    return {name: v['params'] for name, v in variables.items()}, {}

  def draw(params, batch, key):
    """Images are real, images generated from draws of N(0, I) are fake."""
    return brain(batch), generate(params, sample_prior(key, batch), key)

  def invert(params, batch, noise):
    """Latent, reconstruction, and mean squared error of the critic's features [B]."""
    image = brain(batch)
    z = encode(params, image, noise)
    expected = generate(params, z, noise) * batch['mask']
    square = (rate(params, image)[1] - rate(params, expected)[1]) ** 2
    return z, expected, square.mean(tuple(range(1, square.ndim)))

  def encoder_loss(params, stats, batch: Batch, key, step):
    _, expected, features = invert(params, batch, key)
    weight = losses.voxel_weight(batch)
    error = losses.masked_mean((brain(batch) - expected) ** 2, weight)
    gap = losses.example_mean(features, batch['weight'])
    return error + kappa * gap, (stats, {'mse': error, 'features': gap})

  def infer(params, stats, batch: Batch, key):
    z, expected, _ = invert(params, batch, key if bayesian else None)
    return {
      'latent': z,
      'reconstruction': expected,
      'features': finest(encoder, params['encoder'], brain(batch)),
    }

  train_critic, train_generator = wasserstein.adversarial_losses(
    draw, lambda params, image: rate(params, image)[0], penalty
  )
  objectives = {
    'critic': Objective(train_critic, ('critic',), bounds=wasserstein.BOUNDS),
    'generator': Objective(train_generator, ('generator',), every=critic_steps),
    'encoder': Objective(encoder_loss, ('encoder',), stage=1),
  }
  return Method(init, objectives, infer)
