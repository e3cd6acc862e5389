"""Diffusion in part and back, with Gaussian or simplex noise (Wyatt et al. 2022)."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from uad_jax.augmentation import simplex_noise
from uad_jax.method import Batch, Method, Objective
from uad_jax.nets.diffusion_unet import DiffusionUNet
from uad_jax.nets.layers.slice_position import position_features
from uad_jax.ops import gaussian_diffusion, losses

NOISES = ('gaussian', 'simplex')


def make(
  shape: tuple[int, ...],
  channels: int = 1,
  widths: Sequence[int] = (32, 64, 128),
  blocks: int = 1,
  attention: int = 16,
  heads: int = 2,
  schedule: str = 'linear',
  steps: int = 1000,
  furthest: int = 800,
  start: int = 250,
  hops: int = 0,
  samples: int = 1,
  noise: str = 'gaussian',
  octaves: int = 6,
  persistence: float = 0.8,
  coarsest: float = 0.25,
  bounds: tuple[float, float] = (0.0, 1.2),
  position: bool = False,
) -> Method:
  """L = mean over the brain of (eps - eps'(x_t, t))^2, t uniform in 1 to `furthest`.

  Wyatt et al., "AnoDDPM", CVPR workshops 2022; Ho et al. 2020. The scan is noised to
  step `start` only, and the chain walked back: what is healthy is drawn again about as
  it was, what is not becomes likely. The result depends on the key; 'reconstruction' is
  the mean over `samples` (scorer 'monte_carlo' takes draws of its own).

  Departures: noise is in the brain only, where alone the loss is, and the background is
  given as it is at every step; the simplex noise has variance 1 and the dimensions of
  the image, drawn anew at each step (published: slices of 3-D noise); `hops` may
  shorten the way back (Nichol & Dhariwal 2021); the estimate of the image is kept
  within the bounds at each step.

  Args:
    shape: Spatial shape of the images.
    channels: Number of contrasts.
    widths: Channels by level, finest first.
    blocks: Residual blocks by level.
    attention: Longest edge of the grids that attend; 0 for none.
    heads: Of the attention.
    schedule: 'linear' or 'cosine'.
    steps: Of the whole diffusion.
    furthest: Last step that is learned.
    start: Step to which a scan is noised, at most `furthest`; published 250.
    hops: Evaluations of the network on the way back; 0 for every step.
    samples: Ways forth and back that are averaged.
    noise: 'gaussian' or 'simplex'.
    octaves: Of the simplex noise.
    persistence: Of the simplex noise: amplitude by octave.
    coarsest: Of the simplex noise: first period, as a share of the longest axis.
    bounds: Intensities that become -1 and 1.
    position: Give the network the slice height; not published.
  """
  if noise not in NOISES:
    raise ValueError(f"ddpm: unknown noise '{noise}'; there are {', '.join(NOISES)}")
  if not 1 <= start <= furthest <= steps:
    raise ValueError(
      'ddpm: 1 <= start <= furthest <= steps is needed, not '
      f'start {start}, furthest {furthest}, steps {steps}'
    )
  net = DiffusionUNet(widths, channels, blocks, attention, heads)
  kept = gaussian_diffusion.schedule(schedule, steps)
  way = gaussian_diffusion.strides(start, hops or start)
  low, high = bounds

  def draw(key, like):
    if noise == 'gaussian':
      return jax.random.normal(key, like.shape)
    return simplex_noise.noise(
      key, like, number=octaves, persistence=persistence, coarsest=coarsest
    )

  def scaled(batch):
    return 2 * (jnp.asarray(batch['image']) - low) / (high - low) - 1

  def within(batch, x):
    """`x` in the brain, the scan itself around it."""
    return scaled(batch) + batch['mask'] * (x - scaled(batch))

  def where(batch):
    return position_features(batch['position']) if position else None

  def estimate(params, batch, x, time):
    """The noise in x at step `time` [B]."""
    time = time * (1000.0 / steps)
    return net.apply({'params': params['unet']}, x, time, where(batch))

  def init(key, batch: Batch):
    time = jnp.ones(len(batch['image']))
    return {'unet': net.init(key, scaled(batch), time, where(batch))['params']}, {}

  def loss(params, stats, batch: Batch, key, step):
    key_time, key_noise = jax.random.split(key)
    image = scaled(batch)
    time = jax.random.randint(key_time, (len(image),), 1, furthest + 1)
    eps = draw(key_noise, image)
    share = losses.per_example(jnp.asarray(kept)[time], image)
    x = within(batch, gaussian_diffusion.noised(image, eps, share))
    weight = batch['mask'] * losses.per_example(batch['weight'], image)
    error = (eps - estimate(params, batch, x, time)) ** 2
    return losses.masked_mean(error, weight), (stats, {})

  def back(params, batch, key):
    """One way to `start` and back."""
    image = scaled(batch)
    key_first, key_back = jax.random.split(key)

    def hop(x, now):
      (time, before), key = now
      eps = estimate(params, batch, x, jnp.full(len(x), time))
      found = gaussian_diffusion.denoised(x, eps, jnp.asarray(kept)[time])
      mean, variance = gaussian_diffusion.posterior(
        jnp.clip(found, -1.0, 1.0),
        x,
        jnp.asarray(kept)[time],
        jnp.asarray(kept)[before],
      )
      return within(batch, mean + jnp.sqrt(variance) * draw(key, x)), None

    x = within(
      batch, gaussian_diffusion.noised(image, draw(key_first, image), kept[start])
    )
    keys = jax.random.split(key_back, len(way))
    return jax.lax.scan(hop, x, (jnp.asarray(way), keys))[0]

  def infer(params, stats, batch: Batch, key):
    keys = jax.random.split(key, samples)
    drawn = jax.vmap(lambda key: back(params, batch, key))(keys).mean(0)
    image = low + (drawn + 1) * (high - low) / 2
    return {'reconstruction': image * batch['mask']}

  return Method(init, {'noise': Objective(loss, ('unet',))}, infer)
