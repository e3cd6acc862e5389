"""Mean and variance of each voxel: the objective that fits them."""

from collections.abc import Callable

import jax.numpy as jnp

from uad_jax.method import Batch
from uad_jax.ops import voxel_stats


def fit(name: str) -> Callable:
  """Returns a fit that adds each batch of healthy scans to the sums of their voxels.

  Args:
    name: Entry of the statistics, `voxel_stats.Moments`.

  Returns:
    Function with the signature of `Objective.loss`; its loss is 0 and it has no
    metrics.
  """

  def observe(params, stats, batch: Batch, key, step):
    moments = voxel_stats.observe(
      stats[name], batch['image'], batch['position'], batch['weight']
    )
    return jnp.zeros(()), (stats | {name: moments}, {})

  return observe
