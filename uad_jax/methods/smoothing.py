"""Baseline without training: the reconstruction is the smoothed image itself."""

import jax.numpy as jnp

from uad_jax.method import Batch, Method
from uad_jax.ops.filters import gaussian_smooth


def make(shape: tuple[int, ...], channels: int = 1, sigma: float = 3.0) -> Method:
  """Builds a baseline whose reconstruction is the scan smoothed by a Gaussian.

  'reconstruction' = (G * (x m)) / (G * m), m the brain mask, so that the brain's edge
  does not look like a lesion. Nothing is trained.

  Args:
    shape: Spatial shape of the images.
    channels: Number of contrasts.
    sigma: Standard deviation of G, in voxels.
  """

  def infer(params, stats, batch: Batch, key):
    mask = batch['mask']
    smooth = gaussian_smooth(batch['image'] * mask, sigma)
    smooth = smooth / jnp.maximum(gaussian_smooth(mask, sigma), 1e-3)
    return {'reconstruction': smooth * mask}

  return Method(lambda key, batch: ({}, {}), {}, infer)
