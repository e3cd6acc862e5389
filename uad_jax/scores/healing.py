"""Healing: how far the image is from what was drawn anew where it is unlikely."""

import jax.numpy as jnp

from uad_jax.method import Array, Batch, Infer, Key, Scorer, need
from uad_jax.ops.filters import gaussian_smooth


def make(smooth: float = 0.0) -> Scorer:
  """Mean over orders of |x - healed| m, m the healed places; [B, *S, 1].

  Pinaya et al. 2022: the mask keeps the blur of the codes out of the map. It is cut by
  the brain's only after it was smoothed, or the cortex would count less.

  Args:
    smooth: Standard deviation of a Gaussian over the masks m, in voxels.
  """

  def score(infer: Infer, batch: Batch, key: Key) -> Array:
    healed, masks = need(infer(batch, key), 'healing', 'healed', 'heal_mask')
    residual = jnp.abs(batch['image'][:, None] - healed).mean(-1, keepdims=True)
    soft = gaussian_smooth(masks.reshape(-1, *masks.shape[2:]), smooth)
    return (residual * soft.reshape(masks.shape)).mean(1) * batch['mask']

  return score
