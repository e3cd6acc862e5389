"""Functions that read and change what the normalisation layers of a method compute.

A layer is named by the place of its arrays in a tree, 'encoder/level0/norm'. While a
method is traced, every array of the tree is an object of its own, and flax hands it to
the layer unchanged: so the layer that runs is recognised by the identity of an array,
whatever the method calls its networks and in whatever order it runs them.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.core.tracers import current_trace

from uad_jax.nets.layers import batch_norm
from uad_jax.nets.layers.batch_norm import BatchNorm
from uad_jax.nets.layers.group_norm import GroupNorm

Array = jax.Array
Moments = dict[str, Array]
"""Moments of the channels of features: 'records' [] and 'count' [], the numbers of
examples and of voxels, 'mean' [C], and 'square' [C], the sum of (x - mean)^2."""

MARKS = {BatchNorm: ('batch_stats', 'mean'), GroupNorm: ('params', 'scale')}
"""Collection and name of the array by which a layer is recognised."""


def place(path: tuple) -> tuple[str, str]:
  """Splits the path of an array in nested dicts into names of layer and array.

  Args:
    path: Path from `jax.tree_util`.
  """
  *layer, name = (str(entry.key) for entry in path)
  return '/'.join(layer), name


def tapped(
  run: Callable[[], Any],
  kind: type[nn.Module],
  tree: Mapping[str, Any],
  read: Callable[..., Any] | None = None,
  change: Callable[[str, Array], Array] | None = None,
  replace: Callable[..., Array] | None = None,
) -> tuple[Any, dict[str, Any]]:
  """Runs a function and reads, or changes, the output of each normalisation layer.

  A layer that runs several times is read at its first call. Calls inside of a loop or
  another transformation of jax (the steps of a diffusion) are changed, but not read:
  their arrays belong to the loop.

  Args:
    run: Function without arguments that runs the networks on the arrays of `tree`.
    kind: Class of the layers, `BatchNorm` or `GroupNorm`.
    tree: Arrays among which those of the layers are, as nested dicts.
    read: (output, *arguments of the layer) -> value to return; None reads nothing.
    change: (name of the layer, output) -> output to use; None changes nothing.
    replace: (name of the layer, layer, *arguments of the layer) -> output to use
      instead of the layer's own; None replaces nothing. Not called inside of a loop.

  Returns:
    Result of `run`, and what was read by name, in the order of the calls.
  """
  collection, mark = MARKS[kind]
  flat, _ = jax.tree_util.tree_flatten_with_path(tree)
  names = {id(leaf): place(path)[0] for path, leaf in flat if place(path)[1] == mark}
  values: dict[str, Any] = {}
  outermost = current_trace()

  def intercept(call, arguments, options, context):
    output = call(*arguments, **options)
    if not isinstance(context.module, kind) or context.method_name != '__call__':
      return output
    name = names.get(id(context.module.get_variable(collection, mark)))
    if name is None:
      return output
    if replace and current_trace() == outermost:
      output = replace(name, context.module, *arguments, **options)
    if read and name not in values and current_trace() == outermost:
      values[name] = read(output, *arguments, **options)
    return change(name, output) if change else output

  with nn.intercept_methods(intercept):
    result = run()
  return result, values


def moments(x: Array, weight: Array) -> Moments:
  """Computes the moments of the channels of a batch, without padding examples.

  Args:
    x: Features [B, *S, C].
    weight: [B], 1 for real examples and 0 for padding.
  """
  mean, spread, count = batch_norm.moments(x, weight)
  square = spread * count
  return {'records': weight.sum(), 'count': count, 'mean': mean, 'square': square}


def merged(a: Moments, b: Moments) -> Moments:
  """Merges the moments of two sets of examples.

  The update of Chan, Golub and LeVeque 1983: d = mean_b - mean_a, n = n_a + n_b,

    mean = mean_a + d n_b / n,   square = square_a + square_b + d^2 n_a n_b / n.
  """
  count = a['count'] + b['count']
  share = b['count'] / jnp.maximum(count, 1)
  difference = b['mean'] - a['mean']
  return {
    'records': a['records'] + b['records'],
    'count': count,
    'mean': a['mean'] + difference * share,
    'square': a['square'] + b['square'] + difference**2 * a['count'] * share,
  }


def variance(collected: Moments, ddof: int = 0) -> Array:
  """Computes the variance [C] from moments; `ddof` 1 gives the unbiased one."""
  return collected['square'] / jnp.maximum(collected['count'] - ddof, 1)


def empty(shapes: Mapping[str, Moments]) -> dict[str, Moments]:
  """Creates the moments of no example, for each layer.

  Args:
    shapes: Moments by layer, as arrays or their shapes.
  """
  return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), dict(shapes))


def collect(
  collected: Mapping[str, Moments],
  batch: Mapping[str, Moments],
  step: Array,
  batches: int,
) -> dict[str, Moments]:
  """Adds a batch to the moments of one layer, in a sweep over the layers.

  Pass j over the scans, of `batches` steps, is that of the j-th layer in the order of
  the calls, whose moments begin anew. Those of the other layers stay.

  Args:
    collected: Moments by layer so far.
    batch: Moments of the batch by layer, in the order of the calls.
    step: Step of the sweep, from 0.
    batches: Number of batches of a pass.
  """
  kept = jnp.where(step % batches > 0, 1.0, 0.0)
  updated = {}
  for index, (name, values) in enumerate(batch.items()):
    sums = merged(jax.tree.map(lambda leaf: kept * leaf, collected[name]), values)
    turn = step // batches == index
    updated[name] = jax.tree.map(
      lambda new, old, turn=turn: jnp.where(turn, new, old), sums, collected[name]
    )
  return updated


def completes(names: Iterable[str], step: Array, batches: int) -> dict[str, Array]:
  """Tells by layer whether a step is the last one of its pass, see `collect`.

  Args:
    names: Layers in the order of the calls.
    step: Step of the sweep, from 0.
    batches: Number of batches of a pass.
  """
  return {name: step == (j + 1) * batches - 1 for j, name in enumerate(names)}
