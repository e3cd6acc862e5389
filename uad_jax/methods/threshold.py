"""Intensity itself as the anomaly map: the honest first row of every table.

Meissen et al. 2021, "Challenging current semi-supervised anomaly segmentation methods
for brain MRI": hyperintense lesions on FLAIR are found by thresholding the
histogram-equalised image as well as by most trained models.
"""

import jax
import jax.numpy as jnp

from uad_jax.method import Array, Batch, Method


def equalise(image: Array, mask: Array, bins: int = 256) -> Array:
  """Each voxel's rank among the brain voxels of its own image, in [0, 1].

  Args:
    image: [B, *S, C].
    mask: [B, *S, 1].
    bins: Resolution of the ranks between the least and the greatest intensity.
  """

  def one(image, mask):
    inside = mask > 0.5
    low = jnp.where(inside, image, jnp.inf).min()
    high = jnp.where(inside, image, -jnp.inf).max()
    level = (image - low) / jnp.maximum(high - low, 1e-6) * (bins - 1)
    level = jnp.clip(level, 0, bins - 1).astype(jnp.int32)
    count = jnp.zeros(bins).at[level.reshape(-1)].add(mask.reshape(-1))
    rank = jnp.cumsum(count) / jnp.maximum(count.sum(), 1.0)
    return jnp.where(inside, rank[level], 0.0)

  channels = jnp.moveaxis(image, -1, 0)
  ranked = jax.vmap(jax.vmap(one), (0, None))(channels, mask[..., 0])
  return jnp.moveaxis(ranked, 0, -1)


def make(shape: tuple[int, ...], channels: int = 1, bins: int = 256) -> Method:
  """A method without training.

  Its outputs: 'bright' and 'dark', the intensity and its negative, and
  'bright_equalised' and 'dark_equalised', the ranks; all 0 outside the brain.
  """

  def infer(params, stats, batch: Batch, key):
    image, mask = batch['image'], batch['mask']
    rank = equalise(image, mask, bins)
    return {
      'bright': image * mask,
      'dark': (1 - image) * mask,
      'bright_equalised': rank,
      'dark_equalised': (1 - rank) * mask,
    }

  return Method(lambda key, batch: ({}, {}), {}, infer)
