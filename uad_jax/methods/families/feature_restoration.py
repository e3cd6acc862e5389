"""Parts of methods that restore the feature maps of healthy anatomy.

Stages: that of the network of features, if it is trained here; one pass over the
training scans for the mean and deviation of each feature; the training of the restoring
network on the standardised maps.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from uad_jax.detectors.families.feature_bank import on_grid, over_voxels
from uad_jax.features.networks import Extractor
from uad_jax.method import Array, Batch, Key, Method, Metrics, Objective, Params, Stats
from uad_jax.ops.losses import per_example

Maps = Sequence[Array]


def weight_of(batch: Batch, maps: Array) -> Array:
  """Returns the share of brain in each cell of a grid, 0 for padding, [B, *s, 1]."""
  mask = on_grid(batch['mask'], maps.shape[1:-1])
  return mask * per_example(jnp.asarray(batch['weight']), mask)


def make_method(
  extractor: Extractor,
  chosen: Callable[[Maps], list[Array]],
  start: Callable[[Key, Maps], Params],
  restore: Callable[[Params, Maps], list[Array]],
  loss: Callable[[Params, list[Array], Batch, Key], tuple[Array, Metrics]],
  distance: Callable[[Array, Array], Array],
) -> Method:
  """Builds a method whose anomaly map compares feature maps with restored ones.

  'novelty' is the sum over the chosen maps of the distances, interpolated to voxels.

  Args:
    extractor: Network of features.
    chosen: Function from its maps to those that are restored.
    start: (key, maps) -> parameters of the restoring network, under 'restoring'.
    restore: (params, standardised maps) -> their restoration.
    loss: (params, standardised maps, batch, key) -> scalar and metrics.
    distance: (map, restored map) -> distances [B, *s, 1].
  """
  first = extractor.stages

  def raw(params: Params, image: Array) -> list[Array]:
    return chosen(extractor.maps(params, image))

  def standardised(params: Params, stats: Stats, image: Array) -> list[Array]:
    scaled = []
    for maps, sums in zip(raw(params, image), stats['scale'], strict=True):
      count = jnp.maximum(sums['count'], 1.0)
      mean = sums['sum'] / count
      deviation = jnp.sqrt(jnp.maximum(sums['square'] / count - mean**2, 0.0) + 1e-6)
      shape = (1,) * (maps.ndim - 1) + (-1,)
      scaled.append((maps - mean.reshape(shape)) / deviation.reshape(shape))
    return scaled

  def init(key: Key, batch: Batch) -> tuple[Params, Stats]:
    of_features, of_restoring = jax.random.split(key)
    params = extractor.init(of_features, batch)
    maps = raw(params, batch['image'])
    scale = tuple(
      {
        'count': jnp.zeros(()),
        'sum': jnp.zeros(x.shape[-1]),
        'square': jnp.zeros(x.shape[-1]),
      }
      for x in maps
    )
    return params | start(of_restoring, maps), {'scale': scale}

  def fit(params, stats, batch: Batch, key, step):
    scale = []
    for x, sums in zip(raw(params, batch['image']), stats['scale'], strict=True):
      weight, axes = weight_of(batch, x), tuple(range(x.ndim - 1))
      observed = {
        'count': weight.sum(),
        'sum': (weight * x).sum(axes),
        'square': (weight * x**2).sum(axes),
      }
      scale.append({name: sums[name] + observed[name] for name in sums})
    return jnp.zeros(()), ({**stats, 'scale': tuple(scale)}, {})

  def train(params, stats, batch: Batch, key, step):
    maps = standardised(params, stats, batch['image'])
    value, metrics = loss(params, maps, batch, key)
    return value, (stats, metrics)

  def infer(params, stats, batch: Batch, key):
    maps = standardised(params, stats, batch['image'])
    novelty = jnp.zeros_like(jnp.asarray(batch['mask']))
    for x, restored in zip(maps, restore(params, maps), strict=True):
      novelty += over_voxels(distance(x, restored), batch['mask'])
    return {'novelty': novelty, 'features': maps[0]}

  objectives = {
    **extractor.objectives,
    'scale': Objective(fit, stage=first),
    'restoring': Objective(train, ('restoring',), stage=first + 1),
  }
  return Method(init, objectives, infer, {'scale': 'bank'})
