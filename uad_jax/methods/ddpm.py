"""Diffusion model that adds limited noise to a scan and removes it (AnoDDPM)."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from uad_jax.augmentation import simplex_noise
from uad_jax.method import Batch, Method, Objective
from uad_jax.nets.diffusion_unet import DiffusionUNet
from uad_jax.nets.layers.slice_position import position_features
from uad_jax.ops import gaussian_diffusion, losses
from uad_jax.ops.choices import check_choice

NOISES = ('gaussian', 'simplex')
"""Names of the kinds of noise that the diffusion may add."""


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
  """Builds AnoDDPM, a diffusion model that adds limited noise to a scan and removes it.

  L = mean over the brain of (eps - eps'(x_t, t))^2, t uniform in 1 to `furthest`.

  Wyatt et al., "AnoDDPM", CVPR workshops 2022; Ho et al. 2020. The scan is noised to
  step `start` only, and the reverse chain is run from there: healthy tissue is drawn
  again about as it was, a lesion is replaced by likely tissue. The result depends on
  the key; 'reconstruction' is the mean over `samples` (the scorer 'monte_carlo' draws
  its own samples).

  Departures: noise and loss are in the brain only, and the background is the scan's at
  every step; the simplex noise has variance 1 and the dimensions of the image, and is
  drawn again at each step (published: slices of 3-D noise); `hops` may shorten the
  reverse chain (Nichol & Dhariwal 2021); the estimate of the image is kept within the
  bounds at each step.

  Args:
    shape: Spatial shape of the images.
    channels: Number of contrasts.
    widths: Channels of the U-Net by level, finest first.
    blocks: Residual blocks at each level.
    attention: Longest edge in voxels of a grid with attention; 0 for no attention.
    heads: Number of attention heads.
    schedule: Noise schedule, 'linear' or 'cosine'.
    steps: Number of steps of the whole diffusion.
    furthest: Last step that the network learns.
    start: Step to which a scan is noised, at most `furthest`; published 250.
    hops: Evaluations of the network in the reverse chain; 0 for one at every step.
    samples: Number of samples that are averaged.
    noise: 'gaussian' or 'simplex'.
    octaves: Number of octaves of the simplex noise.
    persistence: Factor of the amplitude of the simplex noise from octave to octave.
    coarsest: First period of the simplex noise, as a share of the longest axis.
    bounds: Intensities that are scaled to -1 and 1.
    position: Give the slice height to the network; not published.

  Raises:
    ValueError: The noise is unknown, or the steps are not in the order 1 <= start <=
      furthest <= steps.
  """
  check_choice('noise', noise, NOISES, 'ddpm')
  if not 1 <= start <= furthest <= steps:
    raise ValueError(
      'ddpm: 1 <= start <= furthest <= steps is needed, not '
      f'start {start}, furthest {furthest}, steps {steps}'
    )
  net = DiffusionUNet(widths, channels, blocks, attention, heads)
  kept = gaussian_diffusion.schedule(schedule, steps)
  strides = gaussian_diffusion.strides(start, hops or start)
  low, high = bounds

  def draw(key, like):
    """Noise of mean 0 and variance 1 in the shape of `like`."""
    if noise == 'gaussian':
      return jax.random.normal(key, like.shape)
    return simplex_noise.noise(
      key, like, number=octaves, persistence=persistence, coarsest=coarsest
    )

  def scaled(batch):
    """The scan, with `bounds` scaled to -1 and 1."""
    return 2 * (jnp.asarray(batch['image']) - low) / (high - low) - 1

  def within(batch, x):
    """`x` inside the brain, the scan outside."""
    return scaled(batch) + batch['mask'] * (x - scaled(batch))

  def height(batch):
    return position_features(batch['position']) if position else None

  def estimate(params, batch, x, time):
    """Predicts the noise in x at step `time` [B]."""
    time = time * (1000.0 / steps)
    return net.apply({'params': params['unet']}, x, time, height(batch))

  def init(key, batch: Batch):
    time = jnp.ones(len(batch['image']))
    return {'unet': net.init(key, scaled(batch), time, height(batch))['params']}, {}

  def loss(params, stats, batch: Batch, key, step):
    key_time, key_noise = jax.random.split(key)
    image = scaled(batch)
    time = jax.random.randint(key_time, (len(image),), 1, furthest + 1)
    eps = draw(key_noise, image)
    share = losses.per_example(jnp.asarray(kept)[time], image)
    x = within(batch, gaussian_diffusion.noised(image, eps, share))
    weight = losses.voxel_weight(batch)
    error = (eps - estimate(params, batch, x, time)) ** 2
    return losses.masked_mean(error, weight), (stats, {})

  def reconstruct(params, batch, key):
    """Noises to step `start` and runs the reverse chain; one sample [B, *S, C]."""
    image = scaled(batch)
    key_first, key_back = jax.random.split(key)

    def hop(x, inputs):
      (time, before), key = inputs
      eps = estimate(params, batch, x, jnp.full(len(x), time))
      clean = gaussian_diffusion.denoised(x, eps, jnp.asarray(kept)[time])
      mean, variance = gaussian_diffusion.posterior(
        jnp.clip(clean, -1.0, 1.0),
        x,
        jnp.asarray(kept)[time],
        jnp.asarray(kept)[before],
      )
      return within(batch, mean + jnp.sqrt(variance) * draw(key, x)), None

    x = within(
      batch, gaussian_diffusion.noised(image, draw(key_first, image), kept[start])
    )
    keys = jax.random.split(key_back, len(strides))
    return jax.lax.scan(hop, x, (jnp.asarray(strides), keys))[0]

  def infer(params, stats, batch: Batch, key):
    keys = jax.random.split(key, samples)
    mean = jax.vmap(lambda key: reconstruct(params, batch, key))(keys).mean(0)
    image = low + (mean + 1) * (high - low) / 2
    return {'reconstruction': image * batch['mask']}

  return Method(init, {'noise': Objective(loss, ('unet',))}, infer)
