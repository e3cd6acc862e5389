"""Adaptation that re-estimates the statistics of batch normalisation (AdaBN)."""

import jax
import jax.numpy as jnp

from uad_jax.method import Adaptation, Method, Objective, of_kind
from uad_jax.nets.layers import norm_taps
from uad_jax.nets.layers.batch_norm import BatchNorm
from uad_jax.ops.choices import check_choice
from uad_jax.ops.limits import check_number, check_whole

NAME = 'adabn'
"""Name of the objective and of its entry in the statistics."""

MODES = ('replace', 'mix')
"""Ways to combine the statistics of source and target scans."""


def make(
  batches: int = 1, mode: str = 'replace', pseudo_count: float = 50.0, stage: int = 0
) -> Adaptation:
  """Builds an adaptation that re-estimates batch normalisation on target scans (AdaBN).

  Li et al. 2018 ("Adaptive batch normalization for practical domain adaptation"): each
  channel is normalised by its mean and variance over all target scans, and no parameter
  changes. With mode 'mix', the rule of Schneider et al. 2020:

    mean = N / (N + n) mean_source + n / (N + n) mean_target,

  and the same for the variance; n is the number of target records (slices or volumes).

  The statistics are exact. Those of a layer depend on the layers before it. Where all
  target scans are one batch, one inference does: each layer normalises by the adapted
  statistics of its input. Otherwise there is a pass over the target scans for each
  layer, in the order of the inference: pass j merges the moments of the input of layer
  j batch by batch (Chan et al. 1983), with the earlier layers adapted, and at its end
  replaces mean and (unbiased) variance of layer j alone. Background counts as in
  training, padding examples do not. A layer that the inference runs several times gets
  the statistics of its first call; one that it runs only in a loop, or never, keeps
  those of the source.

  Args:
    batches: Number of batches in a pass over the target scans; `uad_jax.adapt` sets it.
    mode: 'replace' or 'mix'.
    pseudo_count: Weight N of the source statistics in 'mix', in records.
    stage: Training stage of the fit; as many passes as the method has layers, or one
      pass of one batch.

  Returns:
    An adaptation, Method -> Method.

  Raises:
    ValueError: An option is not possible, or the method has no batch normalisation.
  """
  check_whole('adabn: batches', batches, 1)
  check_choice('mode', mode, MODES, 'adabn')
  check_number('adabn: pseudo_count', pseudo_count, 0)
  source_records = pseudo_count if mode == 'mix' else 0.0

  def adapt(method: Method) -> Method:
    entries = of_kind(
      method,
      'batch_norm',
      'adabn: the method has no batch normalisation; channel_moments is the '
      'counterpart for methods with group normalisation',
    )

    def measured(params, stats, batch, key):
      """Moments of the inputs of the layers, in the order of the inference."""
      _, values = norm_taps.tapped(
        lambda: method.infer(params, stats, batch, key),
        BatchNorm,
        {name: stats[name] for name in entries},
        read=lambda y, x, weight, train: norm_taps.moments(x, weight),
      )
      return values

    def init(key, batch):
      params, stats = method.init(key, batch)
      shapes = jax.eval_shape(measured, params, stats, batch, key)
      if not shapes:
        raise ValueError(
          'adabn: the inference of the method runs no batch normalisation outside of a '
          'loop'
        )
      return params, stats | {NAME: norm_taps.empty(shapes)}

    def combined(target, mean, var):
      """Statistics of source and target; those of the source without target voxels."""
      share = target['records'] / jnp.maximum(source_records + target['records'], 1e-6)
      return {
        name: jnp.where(target['count'] > 1, (1 - share) * old + share * new, old)
        for name, old, new in (
          ('mean', mean, target['mean']),
          ('var', var, norm_taps.variance(target, 1)),
        )
      }

    def measured_at_once(params, stats, batch, key):
      """The same moments, every layer normalising by the combined statistics."""
      values = {}

      def replace(name, layer, x, weight, train):
        if name not in values:
          values[name] = norm_taps.moments(x, weight)
        old = {n: layer.get_variable('batch_stats', n) for n in ('mean', 'var')}
        return layer.by(x, **combined(values[name], **old))

      tree = {name: stats[name] for name in entries}
      norm_taps.tapped(
        lambda: method.infer(params, stats, batch, key),
        BatchNorm,
        tree,
        replace=replace,
      )
      return values

    def fit(params, stats, batch, key, step):
      if batches == 1:
        values = measured_at_once(params, stats, batch, key)
        complete = dict.fromkeys(values, step == 0)
        collected = jax.tree.map(
          lambda new, old: jnp.where(step == 0, new, old), values, stats[NAME]
        )
      else:
        values = measured(params, stats, batch, key)
        complete = norm_taps.completes(values, step, batches)
        collected = norm_taps.collect(stats[NAME], values, step, batches)

      def moved(path, leaf):
        layer, name = norm_taps.place(path)
        if layer not in collected:
          return leaf
        value = combined(collected[layer], leaf, leaf)[name]
        return jnp.where(complete[layer], value, leaf)

      adapted = jax.tree_util.tree_map_with_path(
        moved, {name: stats[name] for name in entries}
      )
      return jnp.zeros(()), (stats | adapted | {NAME: collected}, {})

    objective = Objective(
      fit,
      stage=stage,
      split='few_shot',
      passes=lambda stats: 1 if batches == 1 else len(stats[NAME]),
    )
    return method._replace(
      init=init,
      objectives={**method.objectives, NAME: objective},
      kinds={**method.kinds, NAME: 'features'},
    )

  return adapt
