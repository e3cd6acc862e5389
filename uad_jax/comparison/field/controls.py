"""Gates that a good gate has to beat: negative controls, and the true lesion mask.

All are made of the gate g of the method, so that they hide as many voxels.
"""

import numpy as np
from scipy import ndimage

from uad_jax.comparison.field.heads import Heads

SMOOTH = 3.0
"""Standard deviation in voxels of the noise whose highest voxels are random blobs."""


def permuted(gate: np.ndarray, heads: Heads) -> np.ndarray:
  """Gives each scan the gate of the next other subject, within its own brain.

  Args:
    gate: Gates [n, *S, 1].
    heads: Records of the gates, those of a scan in a row; all scans have as many, or
      the gate is taken from the record of the nearest height.

  Raises:
    ValueError: There is one subject only.
  """
  order = list(dict.fromkeys(heads.subjects.tolist()))
  if len(order) < 2:
    raise ValueError('one subject has no other to take a gate from; 2 are needed')
  following = dict(zip(order, [*order[1:], order[0]], strict=True))
  heights = heads.arrays['position']
  chosen = []
  for subject, height in zip(heads.subjects.tolist(), heights, strict=True):
    rows = np.flatnonzero(heads.subjects == following[subject])
    chosen.append(rows[np.argmin(np.abs(heights[rows] - height))])
  return gate[chosen] * (heads.arrays['mask'] > 0)


def sorted_by(order: np.ndarray, gate: np.ndarray, heads: Heads) -> np.ndarray:
  """Gives the values of each gate to the voxels of the brain in another order.

  The highest value of the gate goes to the voxel where `order` is highest, and so on.

  Args:
    order: [n, *S, 1].
    gate: Gates [n, *S, 1].
    heads: Records of the gates.

  Examples:
    >>> heads = Heads({'mask': np.ones((1, 3, 1))}, np.array(['a']), np.array(['a']))
    >>> gate = np.array([[[0.9], [0.1], [0.0]]])
    >>> sorted_by(np.array([[[1.0], [2.0], [3.0]]]), gate, heads).ravel().tolist()
    [0.0, 0.1, 0.9]
  """
  result = np.zeros_like(gate)
  for row in range(len(gate)):
    inside = heads.arrays['mask'][row] > 0
    values = np.empty(inside.sum(), gate.dtype)
    values[np.argsort(order[row][inside], kind='stable')] = np.sort(gate[row][inside])
    result[row][inside] = values
  return result


def random_blobs(gate: np.ndarray, heads: Heads, seed: int = 0) -> np.ndarray:
  """Gives the values of each gate to random blobs, the peaks of smooth noise.

  Args:
    gate: Gates [n, *S, 1].
    heads: Records of the gates.
    seed: Seed of the noise.
  """
  random = np.random.default_rng(seed)
  noise = random.standard_normal(gate.shape, np.float32)
  widths = (0, *[SMOOTH] * (gate.ndim - 2), 0)
  return sorted_by(ndimage.gaussian_filter(noise, widths), gate, heads)


def by_raw_residual(gate: np.ndarray, heads: Heads, expected: np.ndarray) -> np.ndarray:
  """Gives the values of each gate to the largest raw residuals |x - m|, smoothed.

  Args:
    gate: Gates [n, *S, 1].
    heads: Records of the gates.
    expected: Expected images m [n, *S, C].
  """
  residual = np.abs(heads.arrays['image'] - expected).mean(-1, keepdims=True)
  widths = (0, *[1.0] * (gate.ndim - 2), 0)
  return sorted_by(ndimage.gaussian_filter(residual, widths), gate, heads)


def inverted(gate: np.ndarray, heads: Heads) -> np.ndarray:
  """Returns 1 - g within the brain."""
  return (1 - gate) * (heads.arrays['mask'] > 0)


def true_mask(heads: Heads) -> np.ndarray:
  """Returns the lesion masks as gates, the limit of any gate."""
  return heads.lesion.astype(np.float32)
