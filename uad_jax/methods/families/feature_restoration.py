"""Parts of methods that restore the feature maps of healthy anatomy.

Stages: that of the network of features, if it is trained here; one pass over the
training scans for the mean and deviation of each feature; the training of the restoring
network on the standardised maps.
"""

from collections.abc import Callable, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from uad_jax.detectors.families.feature_bank import over_voxels, place_weight
from uad_jax.features.networks import Extractor
from uad_jax.method import Array, Batch, Key, Method, Objective, Params, Stats
from uad_jax.ops.losses import masked_mean

Maps = Sequence[Array]


def make_method(
  extractor: Extractor,
  chosen: Callable[[Maps], list[Array]],
  network: nn.Module,
  distance: Callable[[Array, Array], Array],
  error: Callable[[Array, Array], Array] | None = None,
  jitter: Callable[[Array, Key], Array] | None = None,
) -> Method:
  """Builds a method whose anomaly map compares feature maps with restored ones.

  'novelty' is the sum over the chosen maps of the distances, interpolated to voxels.
  The loss is the sum over the maps of the mean over the places of the brain.

  Args:
    extractor: Network of features.
    chosen: Function from its maps to those that are restored.
    network: Restoring network, from standardised maps to maps of the same shapes.
    distance: (map, restored map) -> distances [B, *s, 1].
    error: (map, restored map) -> [B, *s, K] whose mean the training minimises; None
      takes the distance.
    jitter: (map, key) -> map with noise, which the network restores in training.
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

  def restore(params: Params, maps: Maps) -> list[Array]:
    return network.apply({'params': params['restoring']}, maps)

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
    params['restoring'] = network.init(of_restoring, maps)['params']
    return params, {'scale': scale}

  def fit(params, stats, batch: Batch, key, step):
    scale = []
    for x, sums in zip(raw(params, batch['image']), stats['scale'], strict=True):
      weight, axes = place_weight(batch, x.shape[1:-1]), tuple(range(x.ndim - 1))
      observed = {
        'count': weight.sum(),
        'sum': (weight * x).sum(axes),
        'square': (weight * x**2).sum(axes),
      }
      scale.append({name: sums[name] + observed[name] for name in sums})
    return jnp.zeros(()), ({**stats, 'scale': tuple(scale)}, {})

  def train(params, stats, batch: Batch, key, step):
    maps = standardised(params, stats, batch['image'])
    seen = maps if jitter is None else [jitter(x, key) for x in maps]
    total = jnp.zeros(())
    for x, restored in zip(maps, restore(params, seen), strict=True):
      apart = (error or distance)(x, restored)
      total += masked_mean(apart, place_weight(batch, x.shape[1:-1]))
    return total, (stats, {})

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
