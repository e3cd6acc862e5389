"""Functions for adaptations that train on source and target scans together.

A method's losses on batches of both domains, and its latent codes, which a term of the
adaptation compares.
"""

from collections.abc import Callable, Mapping, Sequence

import jax
import jax.numpy as jnp
from jax.extend import core

from uad_jax.method import (
  TARGET,
  Array,
  Batch,
  Key,
  Method,
  Metrics,
  Objective,
  Params,
  Stats,
  Step,
  splits_of,
)
from uad_jax.ops.choices import check_choice

SOURCE = 'train'
"""Split of the source scans."""

BOTH = f'{SOURCE}+{TARGET}'
"""Split of an objective that gets a batch of each domain."""

Batches = Mapping[str, Batch]
Term = Callable[[Params, Stats, Batches, Key, Step], tuple[Array, Metrics]]
"""Function (params, stats, batches by split, key, step) -> (scalar, metrics), a part of
a loss that compares the two domains."""


def chosen(method: Method, names: Sequence[str], where: str) -> tuple[str, ...]:
  """Returns the names of the method's objectives to train on both domains.

  Args:
    method: Method to adapt.
    names: Names that the user chose; () for all that train a network.
    where: Name of the adaptation, for the error message.

  Raises:
    ValueError: The method has no such objective, or trains no network.
  """
  training = [
    name
    for name, objective in method.objectives.items()
    if objective.trains and TARGET not in splits_of(objective)
  ]
  if not training:
    raise ValueError(
      f'{where}: the method trains no network; allowed are methods with a latent code'
    )
  for name in names:
    check_choice('objective', name, training, where)
  return tuple(names or training)


def latent_vector(
  method: Method, params: Params, stats: Stats, batch: Batch, key: Key
) -> Array:
  """Computes the latent code of each scan as a vector.

  It is the output 'latent' of the inference; a latent map is averaged over its places.

  Args:
    method: Method with such an output.
    params: Parameters of its networks.
    stats: Statistics of the method.
    batch: [B, *S, C] images and masks, as `method.Batch`.
    key: Random key of the inference.

  Returns:
    Vectors [B, Z].
  """
  z = method.infer(params, stats, batch, key)['latent']
  return z.reshape(len(z), -1, z.shape[-1]).mean(1)


def feeding(
  method: Method, params: Params, stats: Stats, batch: Batch
) -> tuple[str, ...]:
  """Lists the networks with respect to which the latent code has a gradient.

  The graph of the gradient is traced, not computed; a network is left out if its part
  of the gradient depends on no input, as behind the choice of a code in a codebook.

  Args:
    method: Method with the output 'latent'.
    params: Parameters by network, for their shapes.
    stats: Statistics, for their shapes.
    batch: Batch, for its shapes.
  """
  inputs = jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype),
    (params, stats, dict(batch), jax.random.key(0)),
  )

  def slope(params, *rest):
    return jax.grad(lambda p: (latent_vector(method, p, *rest) ** 2).sum())(params)

  closed, gradient = jax.make_jaxpr(slope, return_shape=True)(*inputs)
  graph = closed.jaxpr
  reached = set(graph.invars)
  for equation in graph.eqns:
    if any(v in reached for v in equation.invars if not isinstance(v, core.Literal)):
      reached |= set(equation.outvars)
  places = jax.tree_util.tree_leaves_with_path(gradient)
  live = {
    path[0].key: None
    for (path, _), v in zip(places, graph.outvars, strict=True)
    if not isinstance(v, core.Literal) and v in reached
  }
  return tuple(live)


def latent_size(
  method: Method,
  names: Sequence[str],
  params: Params,
  stats: Stats,
  batch: Batch,
  where: str,
) -> int:
  """Returns the length Z of the latent vectors, and checks that training moves them.

  Args:
    method: Method to adapt.
    names: Objectives that are to be trained, from `chosen`.
    params: Parameters by network, for their shapes.
    stats: Statistics, for their shapes.
    batch: Batch, for its shapes.
    where: Name of the adaptation, for the error message.

  Raises:
    ValueError: The method has no latent code, or the code has no gradient with respect
      to a network that the objectives train.
  """
  outputs = jax.eval_shape(method.infer, params, stats, batch, jax.random.key(0))
  if 'latent' not in outputs:
    raise ValueError(
      f'{where}: the method has no latent code; it gives {", ".join(sorted(outputs))}'
    )
  networks = {net for name in names for net in method.objectives[name].trains}
  if not networks & set(feeding(method, params, stats, batch)):
    raise ValueError(
      f'{where}: the latent code has no gradient with respect to '
      f'{", ".join(sorted(networks))}; allowed are objectives that train an encoder '
      'whose code is not chosen from a codebook'
    )
  return outputs['latent'].shape[-1]


def joint(
  method: Method,
  names: Sequence[str],
  term: Term,
  where: str,
  stage: int = 0,
  every: int = 1,
) -> dict[str, Objective]:
  """Makes objectives that train a method on both domains, with a term on their codes.

  The loss of each is L(source batch) + L(target batch), L the loss of the method's
  objective at the end of its ramps (of a KL weight, for example), plus the term, if the
  objective trains a network that feeds the latent code. Only these networks get a
  gradient of the term. Statistics that the losses update, as those of batch
  normalisation, see the source batch, then the target batch.

  Args:
    method: Method to adapt.
    names: Its objectives to train.
    term: Term that compares the codes of the two batches.
    where: Name of the adaptation, by which the objectives' names begin.
    stage: Stage of the objectives.
    every: Their period in steps.

  Returns:
    Objectives by name. Their metrics are those of L, as means over the two domains,
    those of the term, and the losses 'source' and 'target'.
  """

  def on_both(objective: Objective) -> Objective:
    def loss(params, stats, batches: Batches, key, step):
      key_source, key_target, key_term = jax.random.split(key, 3)
      ended = jnp.array(jnp.iinfo(jnp.int32).max)
      before = stats
      source, (stats, metrics) = objective.loss(
        params, stats, batches[SOURCE], key_source, ended
      )
      target, (stats, more) = objective.loss(
        params, stats, batches[TARGET], key_target, ended
      )
      metrics = {name: (metrics[name] + more[name]) / 2 for name in metrics}
      metrics |= {'source': source, 'target': target}
      total = source + target
      if set(objective.trains) & set(feeding(method, params, before, batches[SOURCE])):
        value, extra = term(params, before, batches, key_term, step)
        total, metrics = total + value, {**metrics, **extra}
      return total, (stats, metrics)

    return objective._replace(loss=loss, stage=stage, split=BOTH, every=every)

  return {f'{where}_{name}': on_both(method.objectives[name]) for name in names}
