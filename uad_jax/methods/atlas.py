"""Voxelwise mean and deviation of the aligned healthy scans: the classic z-score."""

import jax.numpy as jnp

from uad_jax.method import Batch, Method, Objective
from uad_jax.ops import voxel_stats


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
    return {}, {'atlas': voxel_stats.empty(bins, shape, channels)}

  def fit(params, stats, batch: Batch, key, step):
    seen = voxel_stats.observe(
      stats['atlas'], batch['image'], batch['position'], batch['weight']
    )
    return jnp.zeros(()), (stats | {'atlas': seen}, {})

  def infer(params, stats, batch: Batch, key):
    mean, variance = voxel_stats.look_up(stats['atlas'], batch['position'], smooth)
    return {
      'reconstruction': mean,
      'reconstruction_log_variance': jnp.log(variance + floor**2),
    }

  return Method(init, {'atlas': Objective(fit)}, infer)
