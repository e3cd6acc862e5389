"""Adaptation that trains the networks of a method further on target scans."""

from collections.abc import Sequence

import jax

from uad_jax.method import Adaptation, Method, Objective
from uad_jax.ops.choices import check_choice

TRAINED = 10**6
"""Added to the step, so that warm-ups and ramps of a loss do not begin again."""


def make(
  objectives: Sequence[str] = (), layers: Sequence[str] = (), stage: int = 0
) -> Adaptation:
  """Builds an adaptation that trains a method further on healthy target scans.

  The losses are those of the method's training, on batches of the target scans. Methods
  that learn from synthetic lesions have these painted into the target scans. All chosen
  objectives move at every step of one stage.

  Args:
    objectives: Names of the objectives to train; all that train a network by default.
    layers: Parts of the names of the parameters that move, written NETWORK/LAYER/...,
      such as 'encoder/Block_0' or 'Norm'; all by default. The gradient of the others is
      stopped: they keep the values of the source run if the optimiser has no weight
      decay.
    stage: Training stage of the objectives.

  Returns:
    An adaptation, Method -> Method.

  Raises:
    ValueError: The method has no such objective, or no parameter is to be trained.
  """

  def adapt(method: Method) -> Method:
    trainable = [name for name, o in method.objectives.items() if o.trains]
    for name in objectives:
      check_choice('objective', name, trainable, 'finetune')

    def on_target(objective: Objective) -> Objective:
      def loss(params, stats, batch, key, step):
        networks = {name: params[name] for name in objective.trains}
        params = {**params, **hold(networks, layers)}
        return objective.loss(params, stats, batch, key, step + TRAINED)

      return objective._replace(loss=loss, stage=stage, split='few_shot', every=1)

    moved = {
      f'finetune_{name}': on_target(method.objectives[name])
      for name in (objectives or trainable)
    }
    if not moved:
      raise ValueError(
        'finetune: the method trains no network; voxel_moments adapts methods that '
        'have only statistics of each voxel'
      )
    return method._replace(objectives={**method.objectives, **moved})

  return adapt


def hold(networks: dict, layers: Sequence[str]) -> dict:
  """Stops the gradient of all parameters but those of some layers.

  Args:
    networks: Parameters by network.
    layers: Parts of the names NETWORK/LAYER/... of the parameters that keep their
      gradient; none means all.

  Raises:
    ValueError: No parameter has such a name.
  """
  if not layers:
    return networks
  flat, tree = jax.tree_util.tree_flatten_with_path(networks)
  names = ['/'.join(str(entry.key) for entry in path) for path, _ in flat]
  moves = [any(layer in name for layer in layers) for name in names]
  if not any(moves):
    raise ValueError(
      f'finetune: no parameter of {", ".join(networks)} has a name with '
      f'{" or ".join(layers)}; names are such as {names[0]}'
    )
  leaves = [
    leaf if move else jax.lax.stop_gradient(leaf)
    for move, (_, leaf) in zip(moves, flat, strict=True)
  ]
  return jax.tree_util.tree_unflatten(tree, leaves)
