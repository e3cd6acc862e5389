"""Restoring synthetic anomalies step by step (after DISYRE, Naval Marimont et al.)."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from uad_jax.augmentation import synthetic_lesions
from uad_jax.method import Batch, Method, Objective
from uad_jax.nets.diffusion_unet import time_features
from uad_jax.nets.layers.slice_position import position_features
from uad_jax.nets.unet import UNet
from uad_jax.ops import losses


def make(
  shape: tuple[int, ...],
  channels: int = 1,
  widths: Sequence[int] = (32, 64, 128, 256),
  blocks: int = 2,
  painters: Sequence[str] = ('patch', 'constant', 'shift', 'texture'),
  share: float = 0.8,
  steps: int = 5,
  position: bool = True,
) -> Method:
  """L = mean over the brain of (x - f(x_s, s))^2, x_s = x + s (x_1 - x), s in (0, 1].

  Naval Marimont, Baugh, Siomos, Tzelepis, Kainz, Tarroni, "DISYRE: diffusion-inspired
  synthetic restoration for unsupervised anomaly detection", ISBI 2024. x_1 is x with
  anomalies painted into it: blobs of another scan's tissue (foreign patches) and others
  of `corrupt.PAINTERS`; the severity s plays the part of a diffusion's time. At
  inference the scan is taken for x_1 and healed by the sampler of cold diffusion
  (Bansal et al. 2022),
  x_{s - d} = x_s - D(r, s) + D(r, s - d), r = f(x_s, s), D(r, s) = r + s (x_1 - r),
  that is x_s - d (x_1 - r), in `steps` steps of d = 1 / steps.

  Outputs: 'reconstruction' is what is left at s = 0, that is the mean of the r;
  'restored' [B, *S, 1] the mean over the steps of |x_1 - r|, channels averaged, which
  is more than the residual where x_1 - r changes its sign.

  Departures: x_1 stays the scan, where their program estimates it anew at each step and
  averages |x_s - r|; painters are the project's; the time goes in by FiLM in the
  project's U-Net; the error is squared, for the absolute one was lowest at no change at
  all (1 500 steps on the simulated cohort: 1.001 times the error of leaving it).

  Args:
    shape: Spatial shape of the images.
    channels: Number of contrasts.
    widths: Channels by level, finest first.
    blocks: Convolutions at each level.
    painters: Names of `corrupt.PAINTERS`.
    share: Of the training scans that are painted; the others teach to leave alone.
    steps: Of the sampler.
    position: Give the slice height to the network.
  """
  if steps < 1:
    raise ValueError(f'cold_diffusion: {steps} steps; allowed are 1 or more')
  net = UNet(widths, channels, head_scale=1e-2, blocks=blocks)

  def told(batch, severity):
    """What the network is told beside the image; [B, F]."""
    vector = time_features(1000.0 * severity, 64)
    where = position_features(batch['position'])
    return jnp.concatenate([vector, where], -1) if position else vector

  def restore(params, batch, image, severity):
    """f: the image and what the network adds to it."""
    vector = told(batch, severity)
    change = net.apply({'params': params['unet']}, image, None, vector)
    return (image + change) * batch['mask']

  def init(key, batch: Batch):
    vector = told(batch, jnp.ones(len(batch['image'])))
    return {'unet': net.init(key, batch['image'], None, vector)['params']}, {}

  def loss(params, stats, batch: Batch, key, step):
    key_paint, key_severity = jax.random.split(key)
    image, mask = jnp.asarray(batch['image']), batch['mask']
    painted, _ = synthetic_lesions.paint(key_paint, image, mask, painters, share)
    severity = 1 - jax.random.uniform(key_severity, (len(image),))  # in (0, 1]
    mixed = image + losses.per_example(severity, image) * (painted - image)
    found = restore(params, batch, mixed, severity)
    weight = mask * losses.per_example(batch['weight'], image)
    error = losses.masked_mean((image - found) ** 2, weight)
    left = losses.masked_mean((image - mixed) ** 2, weight)
    # Below 1 the scan is restored better than by leaving it as it is.
    ratio = jax.lax.stop_gradient(error / jnp.maximum(left, 1e-12))
    return error, (stats, {'left': ratio})

  def infer(params, stats, batch: Batch, key):
    whole = batch['image'] * batch['mask']

    def heal(image, severity):
      found = restore(params, batch, image, jnp.full(len(whole), severity))
      apart = jnp.abs(whole - found).mean(-1, keepdims=True)
      return image - (whole - found) / steps, apart

    severities = jnp.arange(steps, 0, -1) / steps
    healed, apart = jax.lax.scan(heal, whole, severities)
    return {'reconstruction': healed, 'restored': apart.mean(0)}

  return Method(init, {'restorer': Objective(loss, ('unet',))}, infer)
