"""Scorers that change the anomaly maps of another scorer."""

from typing import NamedTuple

import jax.numpy as jnp

from uad_jax.method import Array, Batch, Infer, Key, Scorer
from uad_jax.ops.filters import median


class Smoothed(NamedTuple):
  """Scorer that filters the anomaly maps of another scorer with a median filter.

  Before the filter, voxels outside the brain mask get the lowest score inside it.

  Attributes:
    scorer: The scorer whose maps are filtered.
    size: Edge length of the filter's box in voxels, odd.
  """

  scorer: Scorer
  size: int

  def __call__(self, infer: Infer, batch: Batch, key: Key) -> Array:
    """Computes the filtered anomaly maps, [B, *S, 1]."""
    return self.filtered(self.scorer(infer, batch, key), batch['mask'])

  def filtered(self, maps: Array, mask: Array) -> Array:
    """Filters anomaly maps [B, *S, 1], given the brain masks [B, *S, 1]."""
    return median(levelled(maps, mask > 0.5, mask > 0.5), self.size)


class Supported(NamedTuple):
  """Scorer that gives the lowest score to voxels without support.

  They are those where the output 'support' of a method is 0, because hardly any healthy
  brain lies there; without this output nothing changes.

  Attributes:
    scorer: The scorer whose maps are changed.
  """

  scorer: Scorer

  def __call__(self, infer: Infer, batch: Batch, key: Key) -> Array:
    """Computes the changed anomaly maps, [B, *S, 1]."""
    maps = self.scorer(infer, batch, key)
    support = infer(batch, key).get('support')
    if support is None:
      return maps
    supported = support > 0.5
    return levelled(maps, supported, supported & (batch['mask'] > 0.5))


def levelled(maps: Array, kept: Array, inside: Array) -> Array:
  """Gives voxels of anomaly maps the lowest score of their image.

  Args:
    maps: Anomaly maps [B, *S, 1].
    kept: Voxels that keep their scores, bool [B, *S, 1].
    inside: Voxels among which the lowest score is taken, bool [B, *S, 1]; 0 without.
  """
  axes = tuple(range(1, maps.ndim))
  lowest = jnp.where(inside, maps, jnp.inf).min(axes, keepdims=True)
  return jnp.where(kept, maps, jnp.where(jnp.isfinite(lowest), lowest, 0.0))
