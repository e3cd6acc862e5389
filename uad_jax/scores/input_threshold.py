"""Intensity scorer: uses the image itself as anomaly map, a baseline without a model.

Meissen et al. 2021, "Challenging current semi-supervised anomaly segmentation methods
for brain MRI": a threshold of the histogram-equalised FLAIR image finds hyperintense
lesions as well as most trained models do. The authors rank the voxels of a whole
volume. Here the voxels of one example are ranked, in 2-D those of one slice, so that
every slice has the same share of bright voxels.
"""

import jax
import jax.numpy as jnp

from uad_jax.method import Array, Batch, Infer, Key, Scorer
from uad_jax.ops.choices import check_choice

SIGNS = ('bright', 'dark')


def intensity_ranks(image: Array, mask: Array, bins: int = 256) -> Array:
  """Computes the intensity rank of each voxel in the brain (histogram equalisation).

  Args:
    image: [B, *S, C]; each example and channel is ranked by itself.
    mask: Brain mask [B, *S, 1].
    bins: Number of histogram bins between the lowest and the highest brain intensity.

  Returns:
    Ranks [B, *S, C] in (0, 1]: the share of brain voxels that are not brighter; 0
    outside the brain.
  """

  def rank(image, mask):
    brain = mask > 0.5
    low = jnp.where(brain, image, jnp.inf).min()
    high = jnp.where(brain, image, -jnp.inf).max()
    level = (image - low) / jnp.maximum(high - low, 1e-6) * (bins - 1)
    level = jnp.clip(level, 0, bins - 1).astype(jnp.int32)
    count = jnp.zeros(bins).at[level.reshape(-1)].add(mask.reshape(-1))
    share = jnp.cumsum(count) / jnp.maximum(count.sum(), 1.0)
    return jnp.where(brain, share[level], 0.0)

  channels = jnp.moveaxis(image, -1, 0)
  ranks = jax.vmap(jax.vmap(rank), (0, None))(channels, mask[..., 0])
  return jnp.moveaxis(ranks, 0, -1)


def make(sign: str = 'bright', equalise: bool = False, bins: int = 256) -> Scorer:
  """Builds a scorer that uses the image, or the inverted image, as the anomaly map.

  The anomaly map is the intensity x, or 1 - x. No model is used.

  Args:
    sign: 'bright' (x, for bright lesions) or 'dark' (1 - x, for dark lesions).
    equalise: Whether x is the rank of the intensity (`intensity_ranks`), so that
      neither the scale nor the shape of a scan's histogram matters.
    bins: Number of histogram bins of the ranks.

  Returns:
    A scorer of anomaly maps [B, *S, 1]: channels averaged, 0 outside the brain mask.

  Raises:
    ValueError: `sign` is unknown.
  """
  check_choice('sign', sign, SIGNS, 'input_threshold')

  def score(infer: Infer, batch: Batch, key: Key) -> Array:
    image, mask = jnp.asarray(batch['image']), batch['mask']
    value = intensity_ranks(image, mask, bins) if equalise else image
    value = 1 - value if sign == 'dark' else value
    return (value * mask).mean(-1, keepdims=True)

  return score
