"""Adaptation that adds registered target scans to the template of a method."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from uad_jax.method import (
  SEEN,
  TARGET,
  Adaptation,
  Batch,
  Method,
  Objective,
  Params,
  Stats,
  of_kind,
)
from uad_jax.ops import voxel_stats
from uad_jax.ops.limits import check_number, check_whole


def make(pseudo_count: float = 4.0, batches: int = 1, stage: int = 0) -> Adaptation:
  """Builds an adaptation that re-estimates the moments of registered healthy scans.

  Target scans are registered to the template of the source scans by the method's own
  fits, and are added to the sums of kind 'registered': those of the last round of
  `moment_registration`, then of its residuals at several scales, or those of the
  registered scans of `voxelmorph`. As in `voxel_moments` the sums are first scaled down
  to the weight of `pseudo_count` scans, so that

    mean = (N mean_source + n mean_target) / (N + n),

  N the pseudo-count and n the number of target scans, and likewise for the mean of the
  squares. The template keeps the shape of the source scans and gets the contrast and
  the variance of both scanners. No network changes. The ranges of healthy target scans
  are measured on each scan by the moments without it (`Method.without`); the registered
  residuals of the other scans are kept, although it was part of their template.

  Args:
    pseudo_count: Weight N of the source scans, in records (slices or volumes); 0
      replaces them.
    batches: Number of batches of one pass over the target scans.
    stage: Training stage of the fits, which take a pass each.

  Returns:
    An adaptation, Method -> Method.

  Raises:
    ValueError: `pseudo_count` is negative, `batches` is not a whole number above 0, or
      the method registers no scans.
  """
  check_number('registered_moments: pseudo_count', pseudo_count, 0)
  check_whole('registered_moments: batches', batches, 1)

  def adapt(method: Method) -> Method:
    names = of_kind(
      method,
      'registered',
      'registered_moments: the method has no statistics of registered scans; allowed '
      'are methods that have, such as moment_registration and voxelmorph',
    )

    def observe(name, params: Params, stats: Stats, batch: Batch, key) -> Stats:
      _, (stats, _) = method.objectives[name].loss(params, stats, batch, key, 0)
      return stats

    def fit(params, stats, batch: Batch, key, step):
      # Once a pass; further batches of it keep what the first ones added.
      heaviest = jnp.where(step % batches == 0, pseudo_count, jnp.inf)

      def lightened(moments):
        weight = jnp.minimum(heaviest, moments['count'].sum())
        return voxel_stats.reweighted(moments, weight)

      def added(name) -> Callable[[Stats], Stats]:
        def add(stats):
          light = stats | {name: of_moments(lightened, stats[name])}
          return observe(name, params, light, batch, key)

        return add

      number = jnp.minimum(step // batches, len(names) - 1)
      return jnp.zeros(()), (jax.lax.switch(number, list(map(added, names)), stats), {})

    @jax.jit
    def removed(params, stats, batch: Batch) -> Stats:
      batch = batch | {'weight': -batch['weight']}
      for name in reversed(names):
        less = observe(name, params, stats, batch, jax.random.key(0))
        stats = stats | {name: of_moments(voxel_stats.settled, less[name])}
      return stats

    def without(params, stats, batch):
      return removed(params, stats, {name: batch[name] for name in SEEN})

    objective = Objective(fit, stage=stage, split=TARGET, passes=lambda _: len(names))
    return method._replace(
      objectives={**method.objectives, 'registered_moments': objective},
      without=without,
    )

  return adapt


def of_moments(function: Callable[[dict], dict], sums: dict) -> dict:
  """Applies a function to all `Moments` of a nested dict."""
  if 'count' in sums:
    return function(sums)
  return {name: of_moments(function, part) for name, part in sums.items()}
