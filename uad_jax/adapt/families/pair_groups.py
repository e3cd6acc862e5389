"""Groups of pairs of scans by domain and class, for adaptation with few target scans.

Motiian et al., "Few-shot adversarial domain adaptation", NeurIPS 2017: G1 holds pairs
of two source scans of one class, G2 of a source and a target scan of one class, G3 of
two source scans of different classes, G4 of a source and a target scan of different
classes.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

Array = jax.Array
Key = jax.Array

SAME = 2
"""Number of the groups with pairs of one class, G1 and G2; they serve alone where all
scans are of one class."""

GROUPS = 4


class Pairs(NamedTuple):
  """Pairs of scans, as places in the source batch followed by the target batch.

  Attributes:
    first: First scan of each pair, a source scan, [G, P]; row g is group g + 1.
    second: Second scan, [G, P].
    weight: [P], 1 for the first n places of each group and 0 for the rest, n being the
      number of pairs that all groups have.
  """

  first: Array
  second: Array
  weight: Array


def draw(
  key: Key,
  source: Array,
  target: Array,
  source_weight: Array,
  target_weight: Array,
  most: int,
  groups: int = GROUPS,
) -> Pairs:
  """Draws groups of pairs of equal size, without replacement.

  The size n is that of the smallest group, at most `most`. A pair is ordered; no scan
  is paired with itself, nor with padding.

  Args:
    key: Random key.
    source: Classes of the source scans, whole numbers [B].
    target: Classes of the target scans [B'].
    source_weight: [B], 0 for padding.
    target_weight: [B'], 0 for padding.
    most: Largest number of pairs in a group.
    groups: 4, or `SAME` for G1 and G2 only.
  """
  size = len(source)
  other = ~jnp.eye(size, dtype=bool)
  within = _outer(source_weight > 0, source_weight > 0) & other
  across = _outer(source_weight > 0, target_weight > 0)
  same_within = source[:, None] == source[None]
  same_across = source[:, None] == target[None]
  allowed = [within & same_within, across & same_across]
  if groups == GROUPS:
    allowed += [within & ~same_within, across & ~same_across]
  most = min(most, *(pairs.size for pairs in allowed))
  keys = jax.random.split(key, groups)
  places = [_choose(k, pairs, most) for k, pairs in zip(keys, allowed, strict=True)]
  offsets = [0, size] * (groups // 2)
  first = jnp.stack([i for i, _ in places])
  second = jnp.stack([j + by for (_, j), by in zip(places, offsets, strict=True)])
  smallest = jnp.stack([pairs.sum() for pairs in allowed]).min()
  return Pairs(first, second, (jnp.arange(most) < smallest).astype(jnp.float32))


def _outer(a: Array, b: Array) -> Array:
  """Whether both are true, for each pair."""
  return a[:, None] & b[None]


def _choose(key: Key, allowed: Array, most: int) -> tuple[Array, Array]:
  """Rows and columns of randomly chosen places, the allowed ones first."""
  order = jnp.where(allowed, jax.random.uniform(key, allowed.shape), -1.0)
  _, places = jax.lax.top_k(order.reshape(-1), most)
  return places // allowed.shape[1], places % allowed.shape[1]
