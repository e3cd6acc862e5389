"""Functions that select the losses of a training step and update the networks."""

import functools
from collections.abc import Callable, Mapping

import jax
import optax

from uad_jax import parallel
from uad_jax.method import TARGET, Batch, Key, Method, Metrics, State, splits_of

SHORT = 5000
"""Trainings of up to this number of steps use quick compilation, see `parallel.jit`."""


def on_target(method: Method) -> Method:
  """Returns a method with only those of its objectives that see target scans."""
  objectives = {
    name: objective
    for name, objective in method.objectives.items()
    if TARGET in splits_of(objective)
  }
  return method._replace(objectives=objectives)


def stage_starts(stage_ends: tuple[int, ...]) -> tuple[int, ...]:
  """Returns the first step of each training stage.

  Args:
    stage_ends: Step at which each stage ends.
  """
  return (0, *stage_ends[:-1])


def due(objectives: Mapping, stage_ends: tuple[int, ...], step: int) -> tuple[str, ...]:
  """Returns the names of the objectives (losses) to update at a training step.

  The list depends on the step alone, so a resumed run repeats the schedule exactly.

  Args:
    objectives: Objectives by name, as `Method.objectives`.
    stage_ends: Step at which each stage ends; from the last on the list is empty.
    step: Step of the whole training, from 0.
  """
  stage = next((i for i, end in enumerate(stage_ends) if step < end), len(stage_ends))
  if stage == len(stage_ends):
    return ()
  within = step - stage_starts(stage_ends)[stage]
  return tuple(
    name
    for name, objective in objectives.items()
    if objective.stage == stage and within % objective.every == 0
  )


def example_shapes(shape: tuple[int, ...]) -> dict[str, jax.ShapeDtypeStruct]:
  """Returns the shapes of a batch of two images, to trace functions without data.

  Args:
    shape: Shape of an image, (*S, C), without the batch axis.
  """
  sizes = {'image': shape, 'mask': (*shape[:-1], 1), 'position': (), 'weight': ()}
  return {
    name: jax.ShapeDtypeStruct((2, *size), 'float32') for name, size in sizes.items()
  }


def init_state(
  method: Method, tx: Mapping[str, optax.GradientTransformation], key: Key, batch: Batch
) -> State:
  """Creates the training state of step 0: parameters, statistics, optimiser states.

  Args:
    method: Method to train.
    tx: Optimisers by objective, for objectives that train a network.
    key: Random key of the initial parameters.
    batch: Example batch, for the shapes of its arrays.
  """
  params, stats = method.init(key, batch)
  opt = {
    name: tx[name].init({net: params[net] for net in objective.trains})
    for name, objective in method.objectives.items()
    if objective.trains
  }
  return State(jax.numpy.zeros((), 'int32'), params, stats, opt)


def make_update(
  method: Method,
  tx: Mapping[str, optax.GradientTransformation],
  stage_ends: tuple[int, ...],
) -> Callable[[tuple[str, ...]], Callable]:
  """Returns a function that builds the training step for a list of objectives (losses).

  Its form is (names) -> (state, batches by split, key) -> (new state, metrics), with
  the names of the objectives to update and metrics named 'OBJECTIVE/METRIC'. The update
  of each objective is compiled once, apart from the others, and donates the state;
  those `on_host` are not compiled.
  Objectives are updated in order, each after the changes of those before it; gradients
  are taken with respect to the objective's own networks only.

  Args:
    method: Method to train.
    tx: Optimisers by objective, for objectives that train a network.
    stage_ends: Step at which each stage ends.
  """
  starts = stage_starts(stage_ends)
  short = not stage_ends or stage_ends[-1] <= SHORT
  order = list(method.objectives)

  def move(name: str, state: State, batch: Batch, key: Key) -> tuple[State, Metrics]:
    objective = method.objectives[name]
    networks = {net: state.params[net] for net in objective.trains}
    key = jax.random.fold_in(jax.random.fold_in(key, state.step), order.index(name))
    step = state.step - starts[objective.stage]

    def loss(networks):
      params = {**state.params, **networks}
      return objective.loss(params, state.stats, batch, key, step)

    if not networks:
      _, (stats, extra) = loss(networks)
      return state.replace(stats=stats), {f'{name}/{k}': v for k, v in extra.items()}
    (value, (stats, extra)), grads = jax.value_and_grad(loss, has_aux=True)(networks)
    updates, opt = tx[name].update(grads, state.opt[name], networks)
    params = {**state.params, **optax.apply_updates(networks, updates)}
    state = State(state.step, params, stats, {**state.opt, name: opt})
    return state, {f'{name}/{k}': v for k, v in {'loss': value, **extra}.items()}

  compiled = {
    name: functools.partial(move, name)
    if method.objectives[name].on_host
    else parallel.jit(functools.partial(move, name), short, donate_argnums=0)
    for name in order
  }

  def updater(names: tuple[str, ...]):
    def update(state: State, batches: Mapping[str, Batch], key: Key):
      metrics = {}
      for name in names:
        splits = splits_of(method.objectives[name])
        several = {split: batches[split] for split in splits}
        batch = several if len(splits) > 1 else several[splits[0]]
        state, extra = compiled[name](state, batch, key)
        metrics |= extra
      return state.replace(step=state.step + 1), metrics

    return update

  return updater
