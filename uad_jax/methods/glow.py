"""Likelihood of an image by an invertible network, against that of images in general.

Kingma and Dhariwal 2018 ("Glow: generative flow with invertible 1x1 convolutions"), as
a novelty detector after Schirrmeister et al. 2020 ("Understanding anomaly detection
with deep invertible networks through hierarchies of distributions and features"): the
plain likelihood is ruled by features that all images share, so that a second network
for images in general is subtracted from it.
"""

import jax
import jax.numpy as jnp

from uad_jax.method import Array, Batch, Key, Method, Objective
from uad_jax.nets.glow import Flow, Glow, over_image
from uad_jax.ops.choices import check_choice
from uad_jax.ops.limits import check_number, check_whole
from uad_jax.ops.losses import example_mean, example_sum

GENERAL = ('none', 'rearranged')


def rearranged(image: Array, mask: Array, key: Key) -> Array:
  """Makes images in general: of the textures of scans, and of no brain's anatomy.

  Each example is mirrored along random axes, rolled by a random number of voxels along
  each axis, and its contrast is inverted with probability 1/2.

  Args:
    image: [B, *S, C].
    mask: Brain mask [B, *S, 1].
    key: Random key.

  Returns:
    [B, *S, C].
  """
  d = image.ndim - 2
  highest = jnp.max(image, axis=range(1, d + 2), keepdims=True)
  of_contrast, of_flips, of_rolls = jax.random.split(key, 3)
  shape = (len(image), *[1] * (d + 1))
  inverted = jax.random.bernoulli(of_contrast, 0.5, shape)
  image = jnp.where(inverted, (highest - image) * mask, image)
  flips = jax.random.bernoulli(of_flips, 0.5, (len(image), d))
  sizes = jnp.array(image.shape[1:-1])
  rolls = jax.random.randint(of_rolls, (len(image), d), 0, sizes[None])

  def move(x, flip, roll):
    for axis in range(d):
      x = jnp.where(flip[axis], jnp.flip(x, axis), x)
      x = jnp.roll(x, roll[axis], axis)
    return x

  return jax.vmap(move)(image, flips, rolls)


def make(
  shape: tuple[int, ...],
  channels: int = 1,
  levels: int = 3,
  steps: int = 32,
  hidden: int = 512,
  noise: float = 1 / 256,
  general: str = 'none',
  outlier_weight: float = 0.0,
  temperature: float = 1000.0,
) -> Method:
  """Builds an invertible network that is trained to maximise log p(x) of healthy scans.

  The map 'surprisal' is -log p(x), shared out among the voxels (`nets.glow`), and
  'surprisal_last' the part of the coarsest scale. With `general` a second network is
  trained on images in general (`rearranged`); 'surprisal_ratio' is -log p(x) of the
  first minus that of the second. With `outlier_weight` w the first network's loss has
  the term w BCE((log p(x) - log p_general(x)) / T, y), y = 1 for scans and 0 for images
  in general; it does not train the second network.

  Losses are divided by the number of dimensions of an image. Departures: the second
  network is not the start of the first, and its images are made from the scans, as no
  large set of other images comes with this package.

  Args:
    shape: Spatial shape of the images, multiples of 2^levels.
    channels: Number of contrasts.
    levels: Number of scales.
    steps: Steps of each scale.
    hidden: Channels of the couplings' networks.
    noise: Width of the uniform noise that is added to intensities in training, and half
      of which is added at inference.
    general: 'none' or 'rearranged'.
    outlier_weight: w; needs `general`.
    temperature: T, for densities of whole images.

  Raises:
    ValueError: An option is not allowed, or the scales do not divide the shape.
  """
  check_choice('general', general, GENERAL, 'glow')
  check_whole('glow: levels', levels, 1)
  check_whole('glow: steps', steps, 1)
  check_whole('glow: hidden', hidden, 1)
  check_number('glow: noise', noise, 0)
  check_number('glow: outlier_weight', outlier_weight, 0)
  check_number('glow: temperature', temperature, 0, above=True)
  if any(n % 2**levels for n in shape):
    raise ValueError(
      f'glow: shape {tuple(shape)} is no multiple of {2**levels}, as its {levels} '
      'scales need'
    )
  with_general = general != 'none'
  if outlier_weight and not with_general:
    raise ValueError("glow: outlier_weight needs images in general; general is 'none'")
  network = Glow(levels, steps, hidden)
  dimensions = channels * jnp.prod(jnp.array(shape))

  def flow(params, name: str, image: Array) -> Flow:
    return network.apply({'params': params[name]}, image)

  def log_density(params, name: str, image: Array) -> Array:
    return sum(example_sum(d[..., None]) for d in flow(params, name, image).densities)

  def noisy(image: Array, key) -> Array:
    return image + noise * jax.random.uniform(key, image.shape)

  def init(key, batch: Batch):
    of_scans, of_general, draw = jax.random.split(key, 3)
    image = noisy(batch['image'], draw)
    params = {'flow': network.init(of_scans, image)['params']}
    if with_general:
      other = noisy(rearranged(batch['image'], batch['mask'], draw), draw)
      params['general'] = network.init(of_general, other)['params']
    return params, {}

  def train(params, stats, batch: Batch, key, step):
    of_noise, of_order, of_other = jax.random.split(key, 3)
    image = noisy(batch['image'], of_noise)
    log_p = log_density(params, 'flow', image)
    terms = {'nats': -log_p / dimensions}
    if outlier_weight:
      other = noisy(rearranged(batch['image'], batch['mask'], of_order), of_other)
      fixed = jax.lax.stop_gradient(params)
      right = log_p - log_density(fixed, 'general', image)
      wrong = log_density(params, 'flow', other) - log_density(fixed, 'general', other)
      told_apart = jax.nn.softplus(-right / temperature)
      terms['outlier'] = told_apart + jax.nn.softplus(wrong / temperature)
    terms = {name: example_mean(x, batch['weight']) for name, x in terms.items()}
    loss = terms['nats'] + outlier_weight * terms.get('outlier', 0.0) / dimensions
    return loss, (stats, terms)

  def train_general(params, stats, batch: Batch, key, step):
    of_noise, of_order = jax.random.split(key)
    other = noisy(rearranged(batch['image'], batch['mask'], of_order), of_noise)
    nats = -log_density(params, 'general', other) / dimensions
    nats = example_mean(nats, batch['weight'])
    return nats, (stats, {'nats': nats})

  def infer(params, stats, batch: Batch, key):
    image = batch['image'] + noise / 2
    densities = flow(params, 'flow', image).densities
    spatial = image.shape[1:-1]

    def surprisal(values):
      return -over_image(values, spatial)[..., None] * batch['mask']

    outputs = {
      'surprisal': surprisal(densities),
      'surprisal_last': surprisal(densities[-1:]),
      'log_density': sum(example_sum(d[..., None]) for d in densities),
    }
    if with_general:
      others = flow(params, 'general', image).densities
      outputs['surprisal_ratio'] = outputs['surprisal'] - surprisal(others)
    return outputs

  objectives = {'flow': Objective(train, ('flow',))}
  if with_general:
    objectives['general'] = Objective(train_general, ('general',))
  return Method(init, objectives, infer)
