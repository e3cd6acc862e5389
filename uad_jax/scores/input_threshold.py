"""Intensity itself as the anomaly map: the honest first row of every table.

Meissen et al. 2021, "Challenging current semi-supervised anomaly segmentation methods
for brain MRI": hyperintense lesions on FLAIR are found by thresholding the
histogram-equalised image as well as by most trained models. They rank the voxels of a
volume; here those of an example are ranked, in 2-D of a slice, so that each slice has
as many bright voxels as any other.
"""

import jax
import jax.numpy as jnp

from uad_jax.method import Array, Batch, Infer, Key, Scorer

SIGNS = ('bright', 'dark')


def equalised(image: Array, mask: Array, bins: int = 256) -> Array:
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


def make(sign: str = 'bright', equalise: bool = False, bins: int = 256) -> Scorer:
  """x in the mask, or 1 - x for 'dark', channels averaged; [B, *S, 1].

  It asks nothing of the method. With `equalise` x is each voxel's rank (`equalised`),
  so that neither the scale nor the shape of a scan's intensities matters.

  Args:
    sign: 'bright' or 'dark'.
    equalise: Ranks rather than intensities.
    bins: Of the ranks.
  """
  if sign not in SIGNS:
    raise ValueError(
      f"input_threshold: unknown sign '{sign}'; there are {', '.join(SIGNS)}"
    )

  def score(infer: Infer, batch: Batch, key: Key) -> Array:
    image, mask = jnp.asarray(batch['image']), batch['mask']
    value = equalised(image, mask, bins) if equalise else image
    value = 1 - value if sign == 'dark' else value
    return (value * mask).mean(-1, keepdims=True)

  return score
