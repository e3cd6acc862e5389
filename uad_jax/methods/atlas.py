"""Atlas method: compares each voxel with its mean and variance in healthy scans."""

import jax.numpy as jnp

from uad_jax.method import Batch, Method, Objective
from uad_jax.methods.families import voxel_moments
from uad_jax.ops import voxel_stats


def make(
  shape: tuple[int, ...],
  channels: int = 1,
  bins: int = 16,
  smooth: float = 1.0,
  floor: float = 0.01,
) -> Method:
  """Builds the atlas method, which fits a mean and variance of healthy scans per voxel.

  The scans must be aligned; each slice height has a mean and variance of its own. No
  network is trained. The scorer 'standardised' computes from the outputs
  z = |x - mean| / sqrt(variance + floor^2).

  Args:
    shape: Spatial shape of the images.
    channels: Number of contrasts.
    bins: Number of slice heights at which mean and variance are kept; they are
      interpolated in between. 1 for volumes.
    smooth: Standard deviation in voxels of a Gaussian that smooths mean and variance,
      against residual misalignment.
    floor: Smallest standard deviation, in image units.
  """

  def init(key, batch: Batch):
    return {}, {'atlas': voxel_stats.empty(bins, shape, channels)}

  def infer(params, stats, batch: Batch, key):
    mean, variance = voxel_stats.look_up(stats['atlas'], batch['position'], smooth)
    return {
      'reconstruction': mean,
      'reconstruction_log_variance': jnp.log(variance + floor**2),
    }

  return Method(
    init, {'atlas': Objective(voxel_moments.fit('atlas'))}, infer, {'atlas': 'moments'}
  )
