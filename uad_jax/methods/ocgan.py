"""Auto-encoder all of whose codes decode to healthy scans (OCGAN).

Perera, Nallapati and Xiang, "OCGAN: one-class novelty detection using GANs with
constrained latent representations", CVPR 2019.
"""

import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from uad_jax.method import Array, Batch, Key, Method, Objective, Outputs
from uad_jax.methods.families import latent_vector, logistic_gan
from uad_jax.nets.critic import ImageCritic, LatentCritic
from uad_jax.ops import losses
from uad_jax.ops.limits import check_number, check_whole

EDGE = 1 - 1e-6
"""Largest absolute value of a code whose inverse tanh is taken."""

SIZE = math.pi / math.sqrt(12)
"""Root mean square of the inverse tanh of a number that is uniform in (-1, 1)."""


def root_mean_square(x: Array, least: float) -> Array:
  """Computes the root mean square over the last axis of x [B, n], as [B, 1].

  `least` is added to the mean square, so that a vector of zeros divides by no 0.
  """
  return jnp.sqrt((x**2).mean(-1, keepdims=True) + least)


def mine(
  classify: Callable[[Array], Array], z: Array, steps: int, rate: float
) -> Array:
  """Moves codes to where a classifier takes the decoded image for a generated one.

  Gradient descent of the log-odds that the image is a reconstruction, in u with z =
  tanh(u), so that codes stay in (-1, 1)^n. The gradient of each code is scaled to a
  root mean square of `rate`.

  Args:
    classify: Codes [B, n] -> log-odds [B]; those of a code depend on no other code.
    z: Codes [B, n] in (-1, 1).
    steps: Number of steps.
    rate: Root mean square of a step in u.

  Returns:
    Codes [B, n].

  Examples:
    >>> z = mine(lambda z: z.sum(-1), jnp.zeros((1, 2)), steps=2, rate=0.5)
    >>> jnp.arctanh(z).round(2).tolist()
    [[-1.0, -1.0]]
  """

  def move(_, u: Array) -> Array:
    slope = jax.grad(lambda u: classify(jnp.tanh(u)).sum())(u)
    return u - rate * slope / root_mean_square(slope, 1e-20)

  u = jnp.arctanh(jnp.clip(z, -EDGE, EDGE))
  return jnp.tanh(jax.lax.fori_loop(0, steps, move, u))


def make(
  shape: tuple[int, ...],
  channels: int = 1,
  widths: Sequence[int] = (32, 64, 64, 64),
  latent: int = 64,
  latent_critic: Sequence[int] = (128, 64, 32, 16),
  image_critic: Sequence[int] = (16, 32, 32),
  classifier: Sequence[int] = (32, 64, 64),
  weight: float = 100.0,
  noise: float = 0.2,
  steps: int = 5,
  rate: float = 0.1,
  after: int = 0,
) -> Method:
  """Builds a denoising auto-encoder whose whole latent cube decodes to healthy scans.

  The code E(x + e), e ~ N(0, noise^2), lies in (-1, 1)^n (a tanh). With the decoder D,
  s uniform in the cube, discriminators D_l of codes and D_v of images, and a classifier
  C that tells reconstructions from images of random codes, the losses by objective, in
  the order of their updates, are

    classifier: -<log C(D(E(x + e)))> - <log (1 - C(D(s)))>
    critic, which trains D_l and D_v: -<log D_l(s)> - <log (1 - D_l(E(x + e)))>
      - <log D_v(x)> - <log (1 - D_v(D(s)))>
    generator, which trains E and D: weight mean (x - D(E(x + e)))^2
      - <log D_l(E(x + e))> - <log D_v(D(s'))>.

  s' are informative negatives: from s, gradient steps in the code to images that C
  takes for those of random codes (`mine`), so that the weak spots of the cube are
  trained.

  The outputs 'reconstruction' and 'latent' are of the scan without noise; 'realness'
  is the log-odds of D_v that the reconstruction is a scan, low for an anomalous scan.
  The authors use it or the squared error as the score.

  Departures: the output of the encoder is scaled to the root mean square `SIZE` before
  the tanh, as codes of uniform numbers have; without it D_l drives codes to corners of
  the cube, where the tanh has no slope, and every scan gets one code. The paper gives
  no step of the mining, here it is normalised, and tanh keeps it in the cube; errors
  count in the brain only, in which noise is added and outside of which all networks see
  zeros; networks are those of the study of Baur et al. 2021, D_v and C critics of
  patches.

  Args:
    shape: Spatial shape of the images, which must halve for each width.
    channels: Number of contrasts.
    widths: Encoder widths, one for each halving of the grid; the decoder mirrors them.
    latent: n, size of the code.
    latent_critic: Widths of the hidden layers of D_l.
    image_critic: Widths of D_v, one for each halving of the grid.
    classifier: Widths of C, one for each halving of the grid.
    weight: Weight of the squared error, 10 in the paper and 500 in its program, whose
      intensities are in [-1, 1].
    noise: Standard deviation of the noise, in units of the intensities.
    steps: Gradient steps of the mining; 0 for none.
    rate: Root mean square of a step, in units of the inverse tanh of the code.
    after: Training steps before the mining begins; the program mines in the last
      quarter of its epochs.

  Raises:
    ValueError: An option is not allowed.
  """
  check_number('ocgan: weight', weight, 0, above=True)
  check_number('ocgan: noise', noise, 0)
  check_number('ocgan: rate', rate, 0, above=True)
  check_whole('ocgan: steps', steps, 0)
  check_whole('ocgan: after', after, 0)
  net = latent_vector.study(shape, channels, widths, latent, 0.0)
  of_codes = LatentCritic(latent_critic)
  of_images, of_fakes = ImageCritic(image_critic), ImageCritic(classifier)

  def brain(batch: Batch) -> Array:
    return batch['image'] * batch['mask']

  def encode(params, image: Array) -> Array:
    h = net.encode(params, image)
    return jnp.tanh(SIZE * h / root_mean_square(h, 1e-12))

  def encode_noisy(params, batch: Batch, key: Key) -> Array:
    error = noise * jax.random.normal(key, batch['image'].shape)
    return encode(params, (batch['image'] + error) * batch['mask'])

  def decode(params, z: Array, batch: Batch) -> Array:
    return net.decode(params, z) * batch['mask']

  def draw(key: Key, batch: Batch) -> Array:
    size = (len(batch['image']), latent)
    return jax.random.uniform(key, size, minval=-1.0, maxval=1.0)

  def rate_code(params, z: Array) -> Array:
    return of_codes.apply({'params': params['latent_critic']}, z)

  def rate_image(params, image: Array) -> Array:
    return of_images.apply({'params': params['image_critic']}, image)[0]

  def classify(params, image: Array) -> Array:
    return of_fakes.apply({'params': params['classifier']}, image)[0]

  def init(key, batch: Batch):
    keys = jax.random.split(key, 4)
    variables = {
      'latent_critic': of_codes.init(keys[1], jnp.zeros((1, latent))),
      'image_critic': of_images.init(keys[2], batch['image']),
      'classifier': of_fakes.init(keys[3], batch['image']),
    }
    critics = {name: v['params'] for name, v in variables.items()}
    return net.init(keys[0], batch['image']) | critics, {}

  def train_classifier(params, stats, batch: Batch, key, step):
    of_noise, of_draw = jax.random.split(key)
    codes = (encode_noisy(params, batch, of_noise), draw(of_draw, batch))
    ratings = (classify(params, decode(params, z, batch)) for z in codes)
    loss, metrics = logistic_gan.discriminator_loss(*ratings, batch['weight'])
    return loss, (stats, metrics)

  def train_critic(params, stats, batch: Batch, key, step):
    of_noise, of_draw = jax.random.split(key)
    random, code = draw(of_draw, batch), encode_noisy(params, batch, of_noise)
    of_code, by_code = logistic_gan.discriminator_loss(
      rate_code(params, random), rate_code(params, code), batch['weight']
    )
    of_image, by_image = logistic_gan.discriminator_loss(
      rate_image(params, brain(batch)),
      rate_image(params, decode(params, random, batch)),
      batch['weight'],
    )
    metrics = {'codes': by_code['accuracy'], 'images': by_image['accuracy']}
    return of_code + of_image, (stats, metrics)

  def negatives(params, batch: Batch, key: Key, step) -> Array:
    """Random codes, mined when the training has got so far."""
    fixed = jax.lax.stop_gradient(params)

    def mined(z: Array) -> Array:
      return mine(lambda z: classify(fixed, decode(fixed, z, batch)), z, steps, rate)

    return jax.lax.cond(step >= after, mined, lambda z: z, draw(key, batch))

  def train_generator(params, stats, batch: Batch, key, step):
    of_noise, of_draw = jax.random.split(key)
    code = encode_noisy(params, batch, of_noise)
    square = (batch['image'] - decode(params, code, batch)) ** 2
    fakes = decode(params, negatives(params, batch, of_draw, step), batch)
    terms = {
      'mse': losses.masked_mean(square, losses.voxel_weight(batch)),
      'code': logistic_gan.generator_loss(rate_code(params, code), batch['weight']),
      'image': logistic_gan.generator_loss(rate_image(params, fakes), batch['weight']),
    }
    return weight * terms['mse'] + terms['code'] + terms['image'], (stats, terms)

  def infer(params, stats, batch: Batch, key) -> Outputs:
    z = encode(params, brain(batch))
    expected = decode(params, z, batch)
    return {
      'latent': z,
      'reconstruction': expected,
      'realness': rate_image(params, expected),
      'features': net.features(params, brain(batch)),
    }

  bounds = tuple(logistic_gan.bound(name) for name in ('codes', 'images'))
  critics = ('latent_critic', 'image_critic')
  objectives = {
    'classifier': Objective(train_classifier, ('classifier',)),
    'critic': Objective(train_critic, critics, bounds=bounds),
    'generator': Objective(train_generator, ('encoder', 'decoder')),
  }
  return Method(init, objectives, infer)
