"""Adaptation that fits a normal distribution of features at each place (PaDiM)."""

import math

import jax
import jax.numpy as jnp
import numpy as np

from uad_jax.detectors.families.feature_bank import chosen_output, over_voxels
from uad_jax.method import Adaptation, Array, Method, Objective, next_stage
from uad_jax.ops import memory, voxel_stats
from uad_jax.ops.choices import check_choice
from uad_jax.ops.limits import check_number, check_whole
from uad_jax.ops.output_names import OUTPUTS


def make(
  of: str = 'features',
  components: int = 12,
  bins: int = 16,
  smooth: float = 1.0,
  floor: float = 0.1,
  seed: int = 0,
) -> Adaptation:
  """Builds an adaptation that adds the output 'novelty', a Mahalanobis distance.

  Defard et al. 2021 ("PaDiM: a patch distribution modeling framework for anomaly
  detection and localization"): the features f of healthy scans at a place p have mean m
  and covariance S; the score is sqrt((f - m)' (S + floor^2 I)^-1 (f - m)). The scans
  must be aligned; each slice height has moments of its own. A stage of one pass over
  the training scans, after all others, sums f and f f'. Of the features a random choice
  counts, as in the paper, each in units of its deviation over the first batch.

  Args:
    of: Output of the method, [B, *s, K] on any grid.
    components: Largest number of features that count.
    bins: Number of slice heights at which the moments are kept; 1 for volumes.
    smooth: Standard deviation in places of a Gaussian that smooths the moments.
    floor: Smallest deviation of the features, in their units.
    seed: Seed of the choice.

  Raises:
    ValueError: An option is not allowed; or, by the adaptation, if the method does not
      give the output, or gives it without a grid, or the memory cannot hold the sums.
  """
  check_choice('of', of, OUTPUTS, 'padim')
  check_whole('padim: components', components, 1)
  check_whole('padim: bins', bins, 1)
  check_number('padim: smooth', smooth, 0)
  check_number('padim: floor', floor, 0, above=True)

  def adapt(method: Method) -> Method:
    def features(outputs, batch) -> Array:
      maps = chosen_output(outputs, of, 'padim')
      if maps.ndim != batch['image'].ndim:
        raise ValueError(f"padim: the output '{of}' of this method has no grid")
      return jnp.take(maps, chosen(maps.shape[-1]), axis=-1)

    def chosen(count: int) -> np.ndarray:
      return np.random.default_rng(seed).permutation(count)[:components]

    def init(key, batch):
      params, stats = method.init(key, batch)
      maps = jax.eval_shape(
        lambda: features(method.infer(params, stats, batch, key), batch)
      )
      *grid, width = maps.shape[1:]
      numbers = width + width**2
      # Sums before and after a step, and those of the batch that it adds.
      memory.check(
        (2 * bins + len(maps)) * math.prod(grid) * numbers,
        f'padim: components is {components}; their sums at {math.prod(grid)} places',
      )
      kept = {
        'moments': voxel_stats.empty(bins, tuple(grid), numbers, squares=False),
        'scale': jnp.zeros(width),
      }
      return params, stats | {'padim': kept}

    def fit(params, stats, batch, key, step):
      maps = features(method.infer(params, stats, batch, key), batch)
      kept = stats['padim']
      axes = tuple(range(maps.ndim - 1))
      first = jnp.maximum(maps.std(axes), 1e-6)
      scale = jnp.where(kept['scale'] > 0, kept['scale'], first)
      f = maps / scale.reshape(*[1] * (maps.ndim - 1), -1)
      outer = (f[..., None] * f[..., None, :]).reshape(*f.shape[:-1], -1)
      moments = voxel_stats.observe(
        kept['moments'],
        jnp.concatenate([f, outer], -1),
        batch['position'],
        batch['weight'],
      )
      padim = {'moments': moments, 'scale': scale}
      return jnp.zeros(()), (stats | {'padim': padim}, {})

    def infer(params, stats, batch, key):
      outputs = method.infer(params, stats, batch, key)
      maps, kept = features(outputs, batch), stats['padim']
      width = maps.shape[-1]
      scale = jnp.where(kept['scale'] > 0, kept['scale'], 1.0)
      f = maps / scale.reshape(*[1] * (maps.ndim - 1), -1)
      both = voxel_stats.mean_of(kept['moments'], batch['position'], smooth)
      mean, products = jnp.split(both, [width], -1)
      products = products.reshape(*mean.shape, width)
      covariance = products - mean[..., None] * mean[..., None, :]
      identity = jnp.broadcast_to(jnp.eye(width), covariance.shape)
      apart = (f - mean)[..., None]
      solved = jnp.linalg.solve(covariance + floor**2 * identity, apart)
      square = (apart * solved).sum((-2, -1))[..., None]
      novelty = jnp.sqrt(jnp.maximum(square, 0.0))
      return outputs | {'novelty': over_voxels(novelty, batch['mask'])}

    objective = Objective(fit, stage=next_stage(method))
    objectives = {**method.objectives, 'padim': objective}
    kinds = {**method.kinds, 'padim': 'bank'}
    return method._replace(init=init, objectives=objectives, infer=infer, kinds=kinds)

  return adapt
