"""Likelihood on and beside the manifold of an adversarial auto-encoder (GPND).

Pidhorskyi, Almohsen and Doretto, "Generative probabilistic novelty detection with
adversarial autoencoders", NeurIPS 2018.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from uad_jax.method import Array, Batch, Key, Method, Objective, Outputs
from uad_jax.methods.families import latent_vector, logistic_gan, manifold_density
from uad_jax.nets.critic import ImageCritic, LatentCritic
from uad_jax.ops import losses
from uad_jax.ops.limits import check_number, check_whole


def make(
  shape: tuple[int, ...],
  channels: int = 1,
  widths: Sequence[int] = (32, 64, 64, 64),
  latent: int = 16,
  image_critic: Sequence[int] = (32, 64, 64),
  latent_critic: Sequence[int] = (128, 128),
  weight: float = 50.0,
  power: float = 0.2,
  bins: int = 30,
) -> Method:
  """Builds an adversarial auto-encoder with a likelihood of the image.

  With encoder E, decoder D, discriminators D_x of images and D_z of codes and
  e ~ N(0, I), the losses by objective, in the order of their updates, are

    critic: -<log D_x(x)> - <log (1 - D_x(D(e)))>
    generator, which trains D: -<log D_x(D(e))>
    latent_critic: -<log D_z(e)> - <log (1 - D_z(E(x)))>
    autoencoder: weight mean (x - D(E(x)))^2 - <log D_z(E(x))>.

  The output 'log_density' is log p(x) = log|det S^-1| + log p_Z(z) + log p_W(w), z =
  E(x). The linearised decoder stretches by its singular values s_i, so that an image
  of it has the density p_Z(z) / prod s_i. The encoder inverts the decoder, and its
  Jacobian has the singular values 1 / s_i: log|det S^-1| is plus the sum of their
  logarithms (`manifold_density.log_volume`), which makes log p(x) the exact likelihood
  of a linear auto-encoder of normal data.

  Two passes over the training scans follow the training. Stage 1, 'centre': the mean of
  the codes and the largest residual. Stage 2, 'density': for p_Z, a generalised
  Gaussian of each latent value, fitted by its mean absolute deviation and variance
  (`generalised_gaussian.match_moments`); for the norm r of w, a histogram.

  Departures: squared errors, for intensities need not lie in [0, 1]; as in the authors'
  program, r is the norm of the whole residual x - D(z); they fit p_Z by maximum
  likelihood. All is counted over the m brain voxels and contrasts of a scan, and since
  m varies, the histogram is of r / sqrt(m); a half is added to each of its counts. The
  volume of the sphere is the exact one. The dimensions beside the manifold are
  power * (m - n), the power correction of their program. Networks are those of the
  study of Baur et al. 2021, D_x a critic of patches.

  Args:
    shape: Spatial shape of the images, which must halve for each width.
    channels: Number of contrasts.
    widths: Encoder widths, one for each halving of the grid; the decoder mirrors them.
    latent: n, size of the latent vector. The density costs n backward passes.
    image_critic: Widths of D_x, one for each halving of the grid.
    latent_critic: Widths of the hidden layers of D_z.
    weight: Weight of the reconstruction; 50 is a normal likelihood by voxel with the
      standard deviation 0.1.
    power: Share of the m - n dimensions that count, in (0, 1]; 1 is the formula as
      derived.
    bins: Number of bins of the histogram, from 0 to the largest residual.

  Raises:
    ValueError: An option is not allowed.
  """
  check_number('gpnd: weight', weight, 0, above=True)
  check_number('gpnd: power', power, 0, 1, above=True)
  check_whole('gpnd: bins', bins, 2)
  net = latent_vector.study(shape, channels, widths, latent, 0.0)
  of_images, of_codes = ImageCritic(image_critic), LatentCritic(latent_critic)

  def brain(batch: Batch) -> Array:
    return batch['image'] * batch['mask']

  def rate_image(params, image: Array) -> Array:
    return of_images.apply({'params': params['image_critic']}, image)[0]

  def rate_code(params, z: Array) -> Array:
    return of_codes.apply({'params': params['latent_critic']}, z)

  def draw(key: Key, batch: Batch) -> Array:
    return jax.random.normal(key, (len(batch['image']), latent))

  def generated(params, key: Key, batch: Batch) -> Array:
    return net.decode(params, draw(key, batch)) * batch['mask']

  def init(key, batch: Batch):
    keys = jax.random.split(key, 3)
    params = net.init(keys[0], batch['image'])
    images = of_images.init(keys[1], batch['image'])
    codes = of_codes.init(keys[2], jnp.zeros((1, latent)))
    params |= {'image_critic': images['params'], 'latent_critic': codes['params']}
    return params, {'density': manifold_density.empty(latent, bins)}

  def train_critic(params, stats, batch: Batch, key, step):
    real, fake = brain(batch), generated(params, key, batch)
    ratings = (rate_image(params, image) for image in (real, fake))
    loss, metrics = logistic_gan.discriminator_loss(*ratings, batch['weight'])
    return loss, (stats, metrics)

  def train_generator(params, stats, batch: Batch, key, step):
    ratings = rate_image(params, generated(params, key, batch))
    return logistic_gan.generator_loss(ratings, batch['weight']), (stats, {})

  def train_latent_critic(params, stats, batch: Batch, key, step):
    real, fake = draw(key, batch), net.encode(params, brain(batch))
    ratings = (rate_code(params, z) for z in (real, fake))
    loss, metrics = logistic_gan.discriminator_loss(*ratings, batch['weight'])
    return loss, (stats, metrics)

  def train(params, stats, batch: Batch, key, step):
    z = net.encode(params, brain(batch))
    square = (batch['image'] - net.decode(params, z)) ** 2
    error = losses.masked_mean(square, losses.voxel_weight(batch))
    adversarial = logistic_gan.generator_loss(rate_code(params, z), batch['weight'])
    terms = {'mse': error, 'adversarial': adversarial}
    return weight * error + adversarial, (stats, terms)

  def coded(params, batch: Batch) -> tuple[Array, Array, Array, Array]:
    """Codes [B, n], reconstructions, m [B], and the residuals r / sqrt(m) [B]."""
    z = net.encode(params, brain(batch))
    expected = net.decode(params, z) * batch['mask']
    size = jnp.maximum(channels * losses.example_sum(batch['mask']), 1.0)
    square = losses.example_sum((brain(batch) - expected) ** 2)
    return z, expected, size, jnp.sqrt(square / size)

  def fit(observe: Callable) -> Callable:
    """Loss of an objective that only adds the codes and residuals of a batch."""

    def loss(params, stats, batch: Batch, key, step):
      z, _, _, residual = coded(params, batch)
      weight = jnp.asarray(batch['weight'])
      density = observe(stats['density'], z, residual, weight)
      return jnp.zeros(()), (stats | {'density': density}, {})

    return loss

  def infer(params, stats, batch: Batch, key) -> Outputs:
    z, expected, size, residual = coded(params, batch)
    volume = manifold_density.log_volume(
      lambda x: net.encode(params, x), brain(batch), batch['mask']
    )
    on, beside = manifold_density.log_densities(
      stats['density'], z, residual, size, power
    )
    return {
      'latent': z,
      'reconstruction': expected,
      'log_density': volume + on + beside,
      'features': net.features(params, brain(batch)),
    }

  critic_bounds = (logistic_gan.bound(),)
  objectives = {
    'critic': Objective(train_critic, ('image_critic',), bounds=critic_bounds),
    'generator': Objective(train_generator, ('decoder',)),
    'latent_critic': Objective(
      train_latent_critic, ('latent_critic',), bounds=critic_bounds
    ),
    'autoencoder': Objective(train, ('encoder', 'decoder')),
    'centre': Objective(fit(manifold_density.observe_centre), stage=1),
    'density': Objective(fit(manifold_density.observe_spread), stage=2),
  }
  return Method(init, objectives, infer, {'density': 'bank'})
