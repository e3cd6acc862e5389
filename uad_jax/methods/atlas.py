"""Voxelwise mean and deviation of the aligned healthy scans: the classic z-score."""

import jax.numpy as jnp

from uad_jax.method import Array, Batch, Method, Objective
from uad_jax.registration.gate import gaussian_smooth


def tent(position: Array, bins: int) -> Array:
  """Weights [B, bins] of linear interpolation between evenly spaced slice heights."""
  knots = jnp.linspace(0.0, 1.0, bins)[None]
  return jnp.maximum(1 - jnp.abs(position[:, None] - knots) * max(bins - 1, 1), 0.0)


def make(
  shape: tuple[int, ...],
  channels: int = 1,
  bins: int = 16,
  smooth: float = 1.0,
  floor: float = 0.01,
) -> Method:
  """Fits, without gradients, the mean and variance of each voxel at each slice height.

  z = |x - mean| / sqrt(variance + floor^2), by the 'standardised' score.

  Args:
    shape: Spatial shape of the images.
    channels: Number of contrasts.
    bins: Slice heights kept; between them the moments are interpolated. 1 for volumes.
    smooth: Gaussian over the moments in voxels, for what alignment leaves over.
    floor: Least deviation, in image units.
  """

  def init(key, batch: Batch):
    zeros = jnp.zeros((bins, *shape, channels))
    moments = {'count': jnp.zeros((bins,)), 'sum': zeros, 'square': zeros.copy()}
    return {}, {'atlas': moments}

  def fit(params, stats, batch: Batch, key, step):
    weight = tent(batch['position'], bins) * batch['weight'][:, None]
    image, moments = batch['image'], stats['atlas']
    moments = {
      'count': moments['count'] + weight.sum(0),
      'sum': moments['sum'] + jnp.tensordot(weight, image, ((0,), (0,))),
      'square': moments['square'] + jnp.tensordot(weight, image**2, ((0,), (0,))),
    }
    return jnp.zeros(()), (stats | {'atlas': moments}, {})

  def infer(params, stats, batch: Batch, key):
    moments = stats['atlas']
    count = jnp.maximum(moments['count'], 1e-6).reshape((-1,) + (1,) * (len(shape) + 1))
    mean = gaussian_smooth(moments['sum'] / count, smooth)
    square = gaussian_smooth(moments['square'] / count, smooth)
    weight = tent(batch['position'], bins)
    weight = weight * (moments['count'] > 0)[None]
    weight = weight / jnp.maximum(weight.sum(1, keepdims=True), 1e-6)
    mean = jnp.tensordot(weight, mean, 1)
    variance = jnp.maximum(jnp.tensordot(weight, square, 1) - mean**2, 0.0)
    return {
      'reconstruction': mean,
      'reconstruction_log_variance': jnp.log(variance + floor**2),
    }

  return Method(init, {'atlas': Objective(fit)}, infer)
