"""Loss of a network that learns from painted lesions which voxels are not healthy."""

from collections.abc import Callable, Sequence

import jax.numpy as jnp

from uad_jax.augmentation import synthetic_lesions
from uad_jax.method import Array, Batch, Key, Metrics
from uad_jax.ops import losses

SHARE = 0.8
"""Share of the scans in which a lesion is painted."""


def loss(
  predict: Callable[[Array, Array], Array],
  batch: Batch,
  key: Key,
  painters: Sequence[str],
  polarity: str = 'both',
) -> tuple[Array, Metrics]:
  """Computes the loss of predicted logits on scans with painted lesions.

  It is the binary cross-entropy plus the soft Dice loss.

  Args:
    predict: (image [B, *S, C], weights [B, *S, 1] of the voxels) -> logit of a lesion
      [B, *S, 1].
    batch: Healthy scans.
    key: Random key of the painters.
    painters: Kinds of synthetic lesions, names from `synthetic_lesions.PAINTERS`.
    polarity: Lesions are 'bright', 'dark' or 'both'.

  Returns:
    The loss, and the metric 'dice'.
  """
  mask = losses.voxel_weight(batch)
  image, painted = synthetic_lesions.paint(
    key, batch['image'], mask, painters, share=SHARE, polarity=polarity
  )
  logit = predict(image, mask)
  entropy = losses.masked_mean(losses.binary_cross_entropy(logit, painted), mask)
  dice = losses.soft_dice(jnp.where(mask > 0, logit, -20.0), painted * mask)
  return entropy + dice, {'dice': 1 - dice}
