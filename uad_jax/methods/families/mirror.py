"""Functions that compare each half of the brain with the other one.

Few lesions are symmetric, while much of the normal variability is. The scans have to be
aligned such that the middle of the first spatial axis, left to right, is the middle of
the brain.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from uad_jax.method import Array
from uad_jax.ops.filters import box_sum

WINDOW = 3
"""Edge length of the box, in voxels, over which the mirrored scan is averaged: no brain
is symmetric to a voxel."""


def flip(x: Array) -> Array:
  """Mirrors arrays [B, *S, C] along the first spatial axis, left to right."""
  return jnp.flip(x, 1)


def features(image: Array, mask: Array) -> list[Array]:
  """Computes features that compare each voxel with the other half of the brain.

  Args:
    image: Scans [B, *S, C].
    mask: Brain masks [B, *S, 1].

  Returns:
    The mirrored scan, and the scan minus the mirrored local mean (of brain voxels in a
    box of edge `WINDOW`); each [B, *S, C].
  """
  count = jnp.maximum(box_sum(mask, WINDOW), 1.0)
  mean = box_sum(image * mask, WINDOW) / count * mask
  return [flip(image), (image - flip(mean)) * mask]


def averaged(predict: Callable[..., Array]) -> Callable[..., Array]:
  """Makes a prediction symmetric: the mean over a scan and its mirror image.

  Args:
    predict: Function of trees of arrays [B, *S, C], which returns an array [B, *S, C].

  Returns:
    Function of the same arguments; its result for mirrored arguments is mirrored.
  """

  def symmetric(*arguments):
    turned = jax.tree.map(flip, arguments)
    return 0.5 * (predict(*arguments) + flip(predict(*turned)))

  return symmetric
