"""Adaptation that re-estimates the mean and variance of each voxel on target scans."""

import jax.numpy as jnp

from uad_jax.method import Adaptation, Method, Objective, of_kind
from uad_jax.ops import voxel_stats
from uad_jax.ops.limits import check_number


def make(
  pseudo_count: float = 50.0, support: float = 0.0, stage: int = 0
) -> Adaptation:
  """Builds an adaptation that re-estimates voxelwise moments on healthy target scans.

  The statistics of kind 'moments' (sums for the mean and variance of each voxel over
  the source scans) are scaled down to the weight of `pseudo_count` records, and the
  target records are added, each with weight 1:

    mean = (N mean_source + n mean_target) / (N + n),

  N the pseudo-count and n the number of target records, and likewise for the mean of
  the squares (the pseudo-count rule of Schneider et al. 2020 for batch normalisation,
  here for voxels). No network changes. It is the cheapest adaptation of a method that
  compares a scan with voxelwise statistics ('atlas', 'dae_unc'). The ranges of healthy
  target scans are measured on each scan by the moments without it (`Method.without`).

  Where hardly any healthy brain lies, mean and variance are about 0. Brain that does
  lie there, as in slices below those of the source scans, would get the highest scores,
  and no statistics say what is healthy. With `support` the inference has the output
  'support', 1 where the mean reaches it, and all other voxels get the lowest score of
  their image (`changed_maps.Supported`).

  Args:
    pseudo_count: Weight N of the source scans, in records (slices or volumes); 0
      replaces them.
    support: Smallest mean over the healthy scans, in image units, at which a voxel is
      judged; 0 judges all.
    stage: Training stage of the fit; one pass over the target scans.

  Returns:
    An adaptation, Method -> Method.

  Raises:
    ValueError: `pseudo_count` or `support` is negative, or the method has no voxelwise
      moments.
  """
  check_number('voxel_moments: pseudo_count', pseudo_count, 0)
  check_number('voxel_moments: support', support, 0)

  def adapt(method: Method) -> Method:
    names = of_kind(
      method,
      'moments',
      'voxel_moments: the method has no statistics of each voxel; allowed are methods '
      'that have, such as atlas and dae_unc',
    )

    def fit(params, stats, batch, key, step):
      updated = {}
      for name in names:
        weight = jnp.where(step == 0, pseudo_count, stats[name]['count'].sum())
        sums = voxel_stats.reweighted(stats[name], weight)
        updated[name] = voxel_stats.observe(
          sums, batch['image'], batch['position'], batch['weight']
        )
      return jnp.zeros(()), (stats | updated, {})

    def infer(params, stats, batch, key):
      outputs = method.infer(params, stats, batch, key)
      reached = jnp.ones_like(batch['mask'])
      for name in names:
        mean, _ = voxel_stats.look_up(stats[name], batch['position'])
        reached *= jnp.max(mean, -1, keepdims=True) >= support
      return {**outputs, 'support': reached}

    def without(params, stats, batch):
      removed = {
        name: voxel_stats.remove(
          stats[name], batch['image'], batch['position'], batch['weight']
        )
        for name in names
      }
      return stats | removed

    objective = Objective(fit, stage=stage, split='few_shot')
    return method._replace(
      objectives={**method.objectives, 'voxel_moments': objective},
      infer=infer if support else method.infer,
      without=without,
    )

  return adapt
