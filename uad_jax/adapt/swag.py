"""Adaptation that draws parameters from moments of the training path (SWAG)."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from uad_jax.adapt.families.parameter_draws import check_own_parameters, members
from uad_jax.method import Adaptation, Key, Method, Objective, Tree
from uad_jax.ops.limits import check_number, check_whole


def make(
  start: int = 1000, every: int = 20, rank: int = 10, samples: int = 8, scale: float = 1
) -> Adaptation:
  """Builds an adaptation that draws parameters around those of the end of training.

  SWAG (Maddox et al. 2019, "A simple baseline for Bayesian uncertainty in deep
  learning"): from step `start` of each stage, the parameters of every `every`-th step
  give a mean m, a variance s^2 and, for the last K of them, deviations D from the mean.
  A draw is

    theta = m + scale (s z_1 / sqrt(2) + D z_2 / sqrt(2 (K - 1))),

  z_1 and z_2 standard normal. The outputs 'reconstruction_members', 'prior_members' and
  'displacement_members' are those of `samples` draws; all other outputs are of the
  trained parameters. The learning rate has to stay high for the path to be wide: choose
  the schedule 'constant'. Statistics of batch normalisation are not fitted anew.

  Args:
    start: First step of a stage whose parameters count, at least 1.
    every: Steps between the parameters that count.
    rank: K, number of deviations that are kept, at least 2.
    samples: Number of draws, at least 2.
    scale: Factor of the deviations.

  Returns:
    An adaptation, Method -> Method.

  Raises:
    ValueError: An option is not allowed; or, by the adaptation, if the method infers
      with averaged parameters (`ema`).
  """
  for option, value, low in (
    *(('start', start, 1), ('every', every, 1)),
    *(('rank', rank, 2), ('samples', samples, 2)),
  ):
    check_whole(f'swag: {option}', value, low)
  check_number('swag: scale', scale, 0, above=True)

  def adapt(method: Method) -> Method:
    check_own_parameters('swag', method)
    trained: dict[int, set[str]] = {}
    splits = {}
    for objective in method.objectives.values():
      if objective.trains:
        trained.setdefault(objective.stage, set()).update(objective.trains)
        splits[objective.stage] = objective.split

    def init(key, batch):
      params, stats = method.init(key, batch)
      networks = set().union(*trained.values())
      path = {name: empty(params[name], rank) for name in sorted(networks)}
      return params, stats | {'swag': path}

    def collect(networks: set[str]) -> Callable:
      def loss(params, stats, batch, key, step):
        path = dict(stats['swag'])
        for name in networks:
          grown = observe(path[name], params[name], rank)
          path[name] = jax.tree.map(
            lambda new: jnp.where(step >= start, new, jnp.zeros_like(new)), grown
          )
        return jnp.zeros(()), (stats | {'swag': path}, {})

      return loss

    def infer(params, stats, batch, key):
      key_draw, key_infer = jax.random.split(key)

      def member(key):
        keys = dict(zip(sorted(stats['swag']), _keys(key, stats['swag']), strict=True))
        moved = {
          name: draw(keys[name], path, params[name], scale)
          for name, path in stats['swag'].items()
        }
        return method.infer({**params, **moved}, stats, batch, key_infer)

      stacked = jax.vmap(member)(jax.random.split(key_draw, samples))
      return method.infer(params, stats, batch, key) | members(stacked)

    collected = {
      f'swag_{stage}': Objective(
        collect(networks), stage=stage, every=every, split=splits[stage]
      )
      for stage, networks in trained.items()
    }
    objectives = {**method.objectives, **collected}
    kinds = {**method.kinds, 'swag': 'posterior'}
    return method._replace(init=init, objectives=objectives, infer=infer, kinds=kinds)

  return adapt


def empty(params: Tree, rank: int) -> Tree:
  """Creates the moments of a path of parameters without any step.

  Args:
    params: Parameters of a network.
    rank: Number of deviations to keep.

  Returns:
    'count', a number; 'mean' and 'scatter', the sum of squared deviations, as `params`;
    'deviations', as `params` with a leading axis of size `rank`.
  """
  zeros = jax.tree.map(jnp.zeros_like, params)
  return {
    'count': jnp.zeros((), jnp.int32),
    'mean': zeros,
    'scatter': jax.tree.map(jnp.zeros_like, params),
    'deviations': jax.tree.map(lambda p: jnp.zeros((rank, *p.shape)), params),
  }


def observe(path: Tree, params: Tree, rank: int) -> Tree:
  """Adds parameters to the moments of a path (Welford 1962).

  Args:
    path: Moments from `empty` or `observe`.
    params: Parameters of the network at the new step.
    rank: Number of deviations to keep; a new one replaces the oldest.
  """
  count = path['count'] + 1
  mean = jax.tree.map(lambda m, p: m + (p - m) / count, path['mean'], params)
  scatter = jax.tree.map(
    lambda s, p, old, new: s + (p - old) * (p - new),
    *(path['scatter'], params, path['mean'], mean),
  )
  deviations = jax.tree.map(
    lambda d, p, m: d.at[path['count'] % rank].set(p - m),
    *(path['deviations'], params, mean),
  )
  return {'count': count, 'mean': mean, 'scatter': scatter, 'deviations': deviations}


def draw(key: Key, path: Tree, params: Tree, scale: float) -> Tree:
  """Draws the parameters of a network from the moments of a path, see `make`.

  Args:
    key: Random key.
    path: Moments from `observe`.
    params: Trained parameters, returned while the path has no step.
    scale: Factor of the deviations.
  """
  count = path['count']
  rank = len(jax.tree.leaves(path['deviations'])[0])
  kept = jnp.minimum(count, rank)
  key_low, key_diagonal = jax.random.split(key)
  z = jax.random.normal(key_low, (rank,)) / jnp.sqrt(2.0 * jnp.maximum(kept - 1, 1))
  keys = jax.tree.unflatten(
    jax.tree.structure(params), list(_keys(key_diagonal, jax.tree.leaves(params)))
  )

  def leaf(key, p, mean, scatter, deviations):
    diagonal = jnp.sqrt(scatter / (2.0 * jnp.maximum(count, 1)))
    noise = diagonal * jax.random.normal(key, p.shape)
    noise += jnp.tensordot(jnp.where(kept > 1, z, 0.0), deviations, 1)
    return jnp.where(count > 0, mean + scale * noise, p)

  moments = path['mean'], path['scatter'], path['deviations']
  return jax.tree.map(leaf, keys, params, *moments)


def _keys(key: Key, things) -> Key:
  """One key for each of some things."""
  return jax.random.split(key, len(things))
