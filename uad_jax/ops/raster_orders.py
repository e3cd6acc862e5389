"""Function that lists the orders in which a model can visit the cells of a grid.

The model is autoregressive: it predicts each cell from the cells visited before it.
"""

import itertools
from collections.abc import Sequence

import numpy as np


def raster(shape: Sequence[int], count: int) -> np.ndarray:
  """Returns `count` different orders for visiting all cells of a grid line by line.

  The orders differ in the order of the axes and in the direction along each axis. In
  2-D there are 8 orders (2 permutations of the axes, 4 choices of direction), in 3-D
  48. Each order is followed by its reverse, so that the first two already give each
  cell a context from all sides.

  Args:
    shape: Sizes of the grid.
    count: Number of orders.

  Returns:
    Flat indices of the cells in the order in which they are visited, [count, cells].

  Raises:
    ValueError: `count` is not between 1 and the number of orders.

  Examples:
    >>> raster((2, 2), 4).tolist()
    [[0, 1, 2, 3], [3, 2, 1, 0], [1, 0, 3, 2], [2, 3, 0, 1]]
  """
  d = len(shape)
  cells = np.arange(int(np.prod(shape))).reshape(shape)
  orders = []
  for axes in itertools.permutations(range(d)):
    for flips in itertools.product((False, True), repeat=d):
      turned = np.transpose(cells, axes)
      turned = np.flip(turned, [a for a, flip in enumerate(flips) if flip])
      orders.append(turned.ravel())
  pairs = []
  for order in orders:
    if not any(np.array_equal(order, other) for other in pairs):
      pairs += [order, order[::-1]]
  if not 1 <= count <= len(pairs):
    raise ValueError(
      f'{count} orders of a {d}-D grid are asked for; allowed are 1 to {len(pairs)}'
    )
  return np.stack(pairs[:count])
