"""A bank of feature vectors of healthy scans, and a detector that is fitted to it.

A stage of the training that trains nothing collects a uniform sample of the vectors at
brain voxels; one more step fits the detector (`uad_jax.detectors`) on the host.
"""

import math
from collections.abc import Callable, Iterable

import jax
import jax.numpy as jnp
import numpy as np

from uad_jax.detectors import Detector
from uad_jax.method import (
  Array,
  Batch,
  Bound,
  Key,
  Method,
  Objective,
  Outputs,
  Tree,
  next_stage,
)
from uad_jax.ops import memory
from uad_jax.ops.losses import per_example

BLOCK = 4096
"""Vectors that are scored at once, which bounds the memory."""

Extract = Callable[[Outputs, Batch], Array]
"""Function of a method's outputs and its batch: feature maps [B, *s, K] on any grid."""


def empty(size: int, length: int) -> Tree:
  """Creates a bank for `size` vectors of this length; free places rank last."""
  return {'rank': jnp.full((size,), jnp.inf), 'vectors': jnp.zeros((size, length))}


def add(bank: Tree, vectors: Array, weight: Array, key: Key) -> Tree:
  """Adds vectors to a bank, which keeps a uniform sample of all that it was given.

  Each vector draws a rank; the lowest ranks stay. The sample does not depend on the
  order of the batches but by the ranks.

  Args:
    bank: From `empty` or `add`.
    vectors: [m, K].
    weight: [m]; vectors of weight 0 are left out.
    key: Random key.

  Examples:
    >>> weight = jnp.array([1.0, 0.0, 0.0])
    >>> bank = add(empty(2, 1), jnp.ones((3, 1)), weight, jax.random.key(0))
    >>> bank['vectors'].tolist(), int(jnp.isfinite(bank['rank']).sum())
    ([[1.0], [0.0]], 1)
  """
  drawn = jax.random.uniform(key, weight.shape)
  rank = jnp.where(weight > 0, drawn, jnp.inf)
  size = len(bank['rank'])
  # Only the lowest of the new ranks can stay: their vectors alone are moved.
  _, rows = jax.lax.top_k(-rank, min(size, len(rank)))
  vectors, weight = (jnp.asarray(x)[rows] for x in (vectors, weight))
  rank = jnp.concatenate([bank['rank'], rank[rows]])
  chosen = jnp.where(weight[:, None] > 0, vectors, 0.0)
  joined = jnp.concatenate([bank['vectors'], chosen])
  _, rows = jax.lax.top_k(-rank, size)
  return {'rank': rank[rows], 'vectors': joined[rows]}


def on_grid(mask: Array, grid: tuple[int, ...]) -> Array:
  """Averages a brain mask [B, *S, 1] over the cells of another grid, [B, *s, 1]."""
  if mask.shape[1:-1] == tuple(grid):
    return mask
  return jax.image.resize(mask, (len(mask), *grid, 1), 'linear')


def place_weight(batch: Batch, grid: tuple[int, ...]) -> Array:
  """Returns the share of brain in each cell of a grid, 0 for padding, [B, *s, 1]."""
  mask = on_grid(batch['mask'], grid)
  return mask * per_example(jnp.asarray(batch['weight']), mask)


def over_voxels(values: Array, mask: Array) -> Array:
  """Interpolates values of places [B, *s, 1] to voxels, 0 outside of the brain mask."""
  if values.shape != mask.shape:
    values = jax.image.resize(values, mask.shape, 'linear')
  return values * mask


def chosen_output(outputs: Outputs, of: str, where: str) -> Array:
  """Returns an output of a method.

  Raises:
    ValueError: The method does not give it.
  """
  if of not in outputs:
    raise ValueError(
      f"{where}: this method gives no '{of}'; it gives {', '.join(outputs)}"
    )
  return outputs[of]


def with_detector(
  method: Method, extract: Extract, detector: Detector, size: int, where: str
) -> Method:
  """Adds a bank and a detector to a method; the output 'novelty' is its score.

  Two stages follow those of the method: 'bank' collects the vectors of places that are
  mostly brain from one pass over the training scans, 'detector' fits in one step.
  Vectors are standardised by the mean and deviation of the bank's components. Scores on
  a coarser grid are interpolated.

  Args:
    method: Method whose outputs the features may use.
    extract: Function that computes the feature maps.
    detector: The detector.
    size: Number of vectors in the bank.
    where: Name of what asks, for error messages.

  Returns:
    The method with the further output, objectives and statistics.

  Raises:
    ValueError: By `init`, if the detector or the memory cannot hold such a bank.
  """
  first = next_stage(method)

  def features(params, stats, batch: Batch, key) -> Array:
    return extract(method.infer(params, stats, batch, key), batch)

  def init(key, batch: Batch):
    params, stats = method.init(key, batch)
    maps = jax.eval_shape(features, params, stats, batch, key)
    length = maps.shape[-1]
    shapes = detector.shapes(size, length)
    _check_memory(size, length, shapes.values(), where)
    zeros = {k: jnp.zeros(s) for k, s in shapes.items()}
    scale = {'mean': jnp.zeros(length), 'deviation': jnp.ones(length)}
    fitted = {'scale': scale, 'fitted': zeros}
    return params, stats | {'bank': empty(size, length), 'detector': fitted}

  def collect(params, stats, batch: Batch, key, step):
    key, draw = jax.random.split(key)
    maps = features(params, stats, batch, key)
    grid = maps.shape[1:-1]
    # The one place of an image without a grid stands for the whole brain of any size.
    enough = 0.5 if math.prod(grid) > 1 else 0.0
    weight = place_weight(batch, grid) > enough
    vectors = maps.reshape(-1, maps.shape[-1])
    bank = add(stats['bank'], vectors, weight.ravel(), draw)
    return jnp.zeros(()), (stats | {'bank': bank}, {})

  def fit(params, stats, batch: Batch, key, step):
    vectors = stats['bank']['vectors']
    scale = {
      'mean': vectors.mean(0),
      'deviation': jnp.maximum(vectors.std(0), 1e-6),
    }
    fitted = _fitted(detector, _scaled(scale, vectors))
    state = {'detector': {'scale': scale, 'fitted': fitted}}
    filled = jnp.isfinite(stats['bank']['rank']).mean()
    return jnp.zeros(()), (stats | state, {'filled': filled})

  def infer(params, stats, batch: Batch, key) -> Outputs:
    outputs = method.infer(params, stats, batch, key)
    maps = extract(outputs, batch)
    kept = stats['detector']
    vectors = _scaled(kept['scale'], maps.reshape(-1, maps.shape[-1]))
    blocks = -(-len(vectors) // BLOCK)
    padded = jnp.pad(vectors, ((0, blocks * BLOCK - len(vectors)), (0, 0)))
    scores = jax.lax.map(
      lambda x: detector.score(kept['fitted'], x), padded.reshape(blocks, BLOCK, -1)
    )
    novelty = scores.ravel()[: len(vectors)].reshape(*maps.shape[:-1], 1)
    return outputs | {'novelty': over_voxels(novelty, batch['mask'])}

  few = Bound(
    'filled',
    low=1.0,
    sign_of=f'a bank of more vectors than the scans gave; {where} needs a smaller one',
    fatal=True,
  )
  objectives = {
    **method.objectives,
    'bank': Objective(collect, stage=first),
    'detector': Objective(fit, stage=first + 1, bounds=(few,), on_host=True),
  }
  kinds = {**method.kinds, 'bank': 'bank', 'detector': 'bank'}
  return Method(init, objectives, infer, kinds)


def _check_memory(size: int, length: int, shapes: Iterable[tuple], where: str) -> None:
  """Checks that the memory holds a bank, its copies in `add`, and the fitted arrays."""
  memory.check(
    3 * size * (length + 1) + sum(map(math.prod, shapes)),
    f'{where}: bank is {size}; so many vectors of {length} numbers and their detector',
  )


def _fitted(detector: Detector, vectors: Array) -> dict[str, Array]:
  """Fits a detector on the host.

  A callback within a compiled program of several devices can wait for itself; it serves
  where only shapes are asked for, and in tests.
  """
  if isinstance(vectors, jax.core.Tracer):
    shapes = {
      name: jax.ShapeDtypeStruct(shape, jnp.float32)
      for name, shape in detector.shapes(*vectors.shape).items()
    }
    return jax.pure_callback(
      lambda x: dict(detector.fit(np.asarray(x))), shapes, vectors
    )
  fitted = detector.fit(np.asarray(vectors.addressable_data(0)))
  return {name: jax.device_put(x, vectors.sharding) for name, x in fitted.items()}


def _scaled(scale: Tree, vectors: Array) -> Array:
  """Vectors in units of the bank's deviations."""
  return (vectors - scale['mean'][None]) / scale['deviation'][None]
