"""Adaptation that matches the channel moments of source and target scans."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp

from uad_jax.method import Adaptation, Array, Method, Objective
from uad_jax.nets.layers import norm_taps
from uad_jax.nets.layers.group_norm import GroupNorm, affine
from uad_jax.ops.limits import check_whole

NAME = 'channel_moments'
"""Name of the objective and of its entry in the statistics."""

EPSILON = 1e-6
"""Constant added to both variances, as in `GroupNorm`."""


def make(batches: int = 1, stage: int = 0) -> Adaptation:
  """Builds an adaptation that matches the channel moments of source and target scans.

  It is the counterpart of AdaBN for methods with group normalisation, and it is not
  AdaBN: group normalisation keeps no statistics of the source scans that could be
  re-estimated, since it normalises every scan by its own. Mean and variance of each
  channel at the output of a layer still differ between scanners. Both are estimated, on
  source and on target scans, and the inference gets

    y' = (y - mean_target) / sd_target sd_source + mean_source

  in place of the output y of the layer: a moment matching of features (as Sun et al.
  2016 do with covariances, here channel by channel), which needs source scans. Before
  its moments are estimated a layer is unchanged, and no parameter changes.

  The first pass over the scans estimates the moments of all layers on source scans, on
  as many records as there are target records. Those on target scans depend on the
  layers before, so that pass j estimates layer j, with the earlier layers matched (as
  in `adabn`). Moments are over the whole grid, background included, and leave padding
  examples out. A layer that the inference runs several times gets the moments of its
  first call and is changed in all; layers that it runs only in a loop (diffusion
  models) are unchanged. The losses of the training do not see the change.

  Group normalisation itself removes a gain of the intensities, and these moments what
  an offset of the whole image does; a curved or local change is matched in part.

  Args:
    batches: Number of batches in a pass over the target scans; `uad_jax.adapt` sets it.
    stage: Training stage of the fit; as many passes as the method has layers.

  Returns:
    An adaptation, Method -> Method; its `init` raises a ValueError for methods without
    such layers.

  Raises:
    ValueError: `batches` is below 1.
  """
  check_whole('channel_moments: batches', batches, 1)

  def adapt(method: Method) -> Method:
    def measured(params, stats, batch, key, collected):
      """Outputs, and the moments of each layer before it is changed."""
      return norm_taps.tapped(
        lambda: method.infer(params, stats, batch, key),
        GroupNorm,
        params,
        read=lambda y, x, film=None: norm_taps.moments(y, batch['weight']),
        change=lambda name, y: matched(y, collected[name]) if name in collected else y,
      )

    def init(key, batch):
      params, stats = method.init(key, batch)
      _, shapes = jax.eval_shape(measured, params, stats, batch, key, {})
      if not shapes:
        raise ValueError(
          'channel_moments: the inference of the method runs no group normalisation '
          'outside of a loop; adabn serves methods with batch normalisation'
        )
      start = {
        name: {domain: norm_taps.empty(layer) for domain in ('source', 'target')}
        for name, layer in shapes.items()
      }
      return params, stats | {NAME: start}

    def of_source(params, stats, batch, key, step):
      """Moments of the layers on source scans, which the first pass estimates."""
      before = {name: layer['source'] for name, layer in stats[NAME].items()}

      def added():
        _, values = measured(params, stats, batch, key, {})
        kept = jax.tree.map(lambda leaf: jnp.where(step > 0, leaf, 0), before)
        return {name: norm_taps.merged(kept[name], values[name]) for name in before}

      return jax.lax.cond(step < batches, added, lambda: before)

    def fit(params, stats, batch, key, step):
      source = of_source(params, stats, batch['train'], key, step)
      _, values = measured(params, stats, batch['few_shot'], key, stats[NAME])
      before = {name: layer['target'] for name, layer in stats[NAME].items()}
      target = norm_taps.collect(before, values, step, batches)
      updated = {
        name: {'source': source[name], 'target': target[name]} for name in before
      }
      return jnp.zeros(()), (stats | {NAME: updated}, {})

    def infer(params, stats, batch, key):
      return measured(params, stats, batch, key, stats[NAME])[0]

    objective = Objective(
      fit, stage=stage, split='train+few_shot', passes=lambda stats: len(stats[NAME])
    )
    return method._replace(
      init=init,
      objectives={**method.objectives, NAME: objective},
      infer=infer,
      kinds={**method.kinds, NAME: 'features'},
    )

  return adapt


def matched(y: Array, collected: Mapping[str, norm_taps.Moments]) -> Array:
  """Matches the channels of features to the moments of the source scans.

  Args:
    y: Features [B, *S, C] of a target scan.
    collected: Moments of the layer on 'source' and 'target' scans; features stay as
      they are where one of these has no record.
  """
  source, target = collected['source'], collected['target']
  gain = jnp.sqrt(
    (norm_taps.variance(source) + EPSILON) / (norm_taps.variance(target) + EPSILON)
  )
  known = (source['count'] > 0) & (target['count'] > 0)
  gain = jnp.where(known, gain, 1.0)
  shift = jnp.where(known, source['mean'] - gain * target['mean'], 0.0)
  return affine(y, *(jnp.tile(value[None], (len(y), 1)) for value in (gain, shift)))
