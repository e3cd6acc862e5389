"""Mean and variance of each voxel: the objective that fits them, and their warp."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from uad_jax.method import Batch
from uad_jax.ops import voxel_stats
from uad_jax.registration.warp import warp


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


def warped(
  mean: jax.Array, spread: jax.Array, displacement: jax.Array
) -> list[jax.Array]:
  """Warps a mean and its variance, or the variance's logarithm, by one field.

  Args:
    mean: [B, *S, C].
    spread: As mean.
    displacement: u [B, *S, d] in voxels.

  Returns:
    Both at the displaced voxels, each [B, *S, C].
  """
  return jnp.split(warp(jnp.concatenate([mean, spread], -1), displacement), 2, -1)
