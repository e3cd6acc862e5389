"""Greedy k-centre selection: few points that cover many."""

from typing import NamedTuple

import numpy as np
from scipy.spatial import KDTree

from uad_jax.ops.limits import check_number, check_whole

Array = np.ndarray


class Coreset(NamedTuple):
  """Points chosen by `k_centre`.

  Attributes:
    chosen: Indices of the points, in the order of their choice, int64 [M].
    radius: Largest distance of a point from its nearest centre after each choice,
      float64 [M]; it never rises.
  """

  chosen: Array
  radius: Array


def k_centre(
  points: Array, number: int, centres: Array, radius: float = 0.0
) -> Coreset:
  """Chooses points one by one, each the farthest from all centres so far.

  Farthest-first traversal (Gonzalez 1985; as a coreset Sener and Savarese 2018): the
  largest distance of a point from its nearest centre is at most twice the smallest that
  any choice of so many centres reaches.

  Args:
    points: Points [N, F].
    number: Largest number M of points to choose.
    centres: Centres that there are already [C, F]; if none, the first point is chosen
      first.
    radius: Distance at which all points count as covered and the choice ends, 0 or
      more.

  Returns:
    The chosen points and the radius after each.

  Raises:
    ValueError: `number` or `radius` is below 0.

  Examples:
    >>> points = np.array([[0.0], [1.0], [10.0]])
    >>> k_centre(points, 2, np.zeros((0, 1))).chosen.tolist()
    [0, 2]
  """
  check_whole('number', number, 0)
  check_number('radius', radius, 0)
  points = np.asarray(points, np.float64)
  square = KDTree(centres).query(points)[0] ** 2  # infinite without centres
  columns = np.ascontiguousarray(points.T)  # a sum over few rows is fast
  chosen, radii = [], []
  while len(chosen) < number and (square > radius**2).any():
    farthest = int(square.argmax())
    apart = ((columns - columns[:, farthest, None]) ** 2).sum(0)
    square = np.minimum(square, apart)
    chosen.append(farthest)
    radii.append(float(np.sqrt(square.max())))
  return Coreset(np.array(chosen, np.int64), np.array(radii))
