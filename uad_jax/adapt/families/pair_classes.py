"""Classes of healthy scans, by which pairs of scans are grouped (`pair_groups`)."""

from collections.abc import Callable, Sequence

import jax.numpy as jnp

from uad_jax.augmentation import synthetic_lesions
from uad_jax.augmentation.painters import PAINTERS
from uad_jax.method import Array, Batch, Key
from uad_jax.ops.choices import check_choice, choose

CLASSES = ('position', 'painted', 'two')
"""Kinds of classes, see `classes_by`."""

Classify = Callable[[Key, Batch], tuple[Batch, Array]]
"""Function (key, batch) -> batch, which may be painted, and classes [B] of its scans,
whole numbers."""


def classes_by(
  kind: str, bins: int, painters: Sequence[str], polarity: str
) -> Classify:
  """Returns the function that classifies the scans of a batch.

  Args:
    kind: 'position', the bin of the slice height; 'painted', whether a synthetic lesion
      was painted, with probability 1/2; 'two', one class, for the two groups of pairs
      within a domain and across.
    bins: Number of bins of 'position', over slice heights in [0, 1].
    painters: Kinds of synthetic lesions, names from `synthetic_lesions.PAINTERS`.
    polarity: Their polarity, see `synthetic_lesions.one_sided`.

  Raises:
    ValueError: The kind or a painter is unknown.
  """
  for name in painters:
    check_choice('painter', name, PAINTERS)

  def position(key: Key, batch: Batch):
    heights = jnp.floor(batch['position'] * bins).astype(jnp.int32)
    return batch, jnp.clip(heights, 0, bins - 1)

  def painted(key: Key, batch: Batch):
    image, shape = synthetic_lesions.paint(
      key, batch['image'], batch['mask'], painters, share=0.5, polarity=polarity
    )
    axes = tuple(range(1, shape.ndim))
    sick = (shape * batch['mask']).max(axes) > 0.5
    return {**batch, 'image': image}, sick.astype(jnp.int32)

  def two(key: Key, batch: Batch):
    return batch, jnp.zeros(len(batch['image']), jnp.int32)

  return choose('classes', kind, {'position': position, 'painted': painted, 'two': two})
