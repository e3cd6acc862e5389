"""Fast AnoGAN: a generator of healthy images, then an encoder into its codes.

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
  """Stage 0 is a Wasserstein GAN, stage 1 ('izi_f') trains the encoder alone.

  critic C: E C(G(n)) - E C(x) + penalty E (|grad C| - 1)^2, n ~ N(0, I); generator:
  -E C(G(n)); encoder: mean (x - G(E(x)))^2 + kappa mean (f(x) - f(G(E(x))))^2, where f
  are the critic's last features. E ends in tanh, G in a sigmoid, for images in [0, 1].

  Departures: the gradient's norm is over the whole image (the study's program sums over
  one axis); in stage 1 errors outside the brain do not count, and f sees zeros there.
  As in the study the critic judges patches, and generator and critic have
  a layer normalisation over the grid. A scan's score is that of its map, as for all
  methods; the paper's adds the features' error to the image's.

  Args:
    shape: Spatial shape, which halves as often as there are widths.
    channels: Number of contrasts.
    widths: Encoder widths, one a halving of the grid; the generator mirrors them.
    latent: Values of the code.
    critic: Widths of the critic, one a halving of the grid.
    critic_steps: Steps of the critic, one each step, for each of the generator.
    penalty: Weight of the critic's gradient penalty.
    kappa: Weight of the critic's features in stage 1.
    dropout: Rate, after each dense layer of encoder and generator; the study's is 0.2.
    bayesian: Dropout stays on at inference, drawn from the key: a Monte Carlo scorer
      averages over keys (Gal and Ghahramani 2016).
  """
  check_bayesian('fanogan', bayesian, dropout)
  encoder = StudyEncoding(widths, latent, dropout=dropout)
  decoder = StudyDecoding(shape, channels, widths, dropout=dropout, norm=GridNorm)
  judge = ImageCritic(critic)

  def seen(batch):
    return batch['image'] * batch['mask']

  def encode(params, image, drop):
    return jnp.tanh(apply(encoder, params['encoder'], image, noise=drop)[0])

  def generate(params, z, drop):
    if drop is not None:
      drop = jax.random.fold_in(drop, 1)  # not the encoder's draws, nor those of z
    return jax.nn.sigmoid(apply(decoder, params['generator'], z, noise=drop))

  def judged(params, image):
    return judge.apply({'params': params['critic']}, image)

  def noise(key, batch):
    return jax.random.normal(key, (len(batch['image']), latent))

  def init(key, batch: Batch):
    key_encoder, key_generator, key_critic = jax.random.split(key, 3)
    variables = {
      'encoder': encoder.init(key_encoder, batch['image']),
      'generator': decoder.init(key_generator, noise(key, batch)),
      'critic': judge.init(key_critic, batch['image']),
    }
    return {name: v['params'] for name, v in variables.items()}, {}

  def draw(params, batch, key):
    """Images are real, what is made of noise is fake."""
    return seen(batch), generate(params, noise(key, batch), key)

  def invert(params, batch, drop):
    """The code, the reconstruction and the features' squared error, [B]."""
    image = seen(batch)
    z = encode(params, image, drop)
    found = generate(params, z, drop) * batch['mask']
    square = (judged(params, image)[1] - judged(params, found)[1]) ** 2
    return z, found, square.mean(tuple(range(1, square.ndim)))

  def embed(params, stats, batch: Batch, key, step):
    _, found, features = invert(params, batch, key)
    weight = batch['mask'] * losses.per_example(batch['weight'], found)
    error = losses.masked_mean((seen(batch) - found) ** 2, weight)
    gap = losses.example_mean(features, batch['weight'])
    return error + kappa * gap, (stats, {'mse': error, 'features': gap})

  def infer(params, stats, batch: Batch, key):
    z, found, _ = invert(params, batch, key if bayesian else None)
    return {
      'latent': z,
      'reconstruction': found,
      'features': finest(encoder, params['encoder'], seen(batch)),
    }

  criticise, deceive = wasserstein.game(
    draw, lambda params, x: judged(params, x)[0], penalty
  )
  objectives = {
    'critic': Objective(criticise, ('critic',), bounds=wasserstein.BOUNDS),
    'generator': Objective(deceive, ('generator',), every=critic_steps),
    'encoder': Objective(embed, ('encoder',), stage=1),
  }
  return Method(init, objectives, infer)
