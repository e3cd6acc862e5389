"""Raster orders of a grid: its axes permuted and turned round."""

import itertools
from collections.abc import Sequence

import numpy as np


def raster(shape: Sequence[int], count: int) -> np.ndarray:
  """The first `count` raster orders of a grid, each its places in turn; [count, L].

  In 2-D there are 8 (2 permutations of the axes, 4 ways round), in 3-D 48. They
  alternate between an order and its reverse, so that two of them already give each
  place a context from all sides.
  """
  d = len(shape)
  places = np.arange(int(np.prod(shape))).reshape(shape)
  found = []
  for axes in itertools.permutations(range(d)):
    for flips in itertools.product((False, True), repeat=d):
      turned = np.transpose(places, axes)
      turned = np.flip(turned, [a for a, flip in enumerate(flips) if flip])
      found.append(turned.ravel())
  pairs = []
  for order in found:
    if not any(np.array_equal(order, other) for other in pairs):
      pairs += [order, order[::-1]]
  if not 1 <= count <= len(pairs):
    raise ValueError(
      f'{count} orders of a {d}-D grid are asked for; allowed are 1 to {len(pairs)}'
    )
  return np.stack(pairs[:count])
