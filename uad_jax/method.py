"""The kinds of value that everything is made of: method, objective, scorer, adaptation.

A method is a value made by a factory out of pure functions, as an optax transformation
is. Its training procedure is data (`objectives`), so that there is one loop for all.

Shape legend, everywhere: B batch, *S spatial (H W or X Y Z), C channels, Z latent.
"""

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import struct

from uad_jax import parallel

SHORT = 5000
"""Steps of a training that is compiled quickly rather than well."""

Array = jax.Array
Key = jax.Array
Step = jax.Array
Tree = Any

Batch = Mapping[str, Array]
"""'image' [B, *S, C] float32; 'mask' [B, *S, 1] brain, 0 or 1; 'position' [B] slice
height in [0, 1]; 'weight' [B], 0 marks padding; when testing also 'lesion' [B, *S, 1].
A scorer may add keys that a method documents ('strength', 'open') to ask for another
inference."""

Params = dict[str, Tree]
"""What is trained, by network: 'encoder', 'decoder', 'critic'."""

Stats = dict[str, Tree]
"""What moves without a gradient: batch statistics, codebooks, fits, averages."""

Outputs = dict[str, Array]
"""'reconstruction', 'prior', 'latent', 'velocity', 'gate', ...: each [B, ...]."""

EXPECTED = ('reconstruction', 'prior')
"""The outputs that an image is compared with."""

Metrics = dict[str, Array]
Infer = Callable[[Batch, Key], Outputs]
Scorer = Callable[[Infer, Batch, Key], Array]


class Bound(NamedTuple):
  """Where a metric of an objective stays when all is well.

  The loop looks at the mean over the steps between two lines of the log.

  Attributes:
    metric: Its name.
    low: The least value.
    high: The greatest.
    sign_of: What a value beyond them is a sign of, in words.
    fatal: The training ends there, and its last checkpoint stays; else it is only told.
    after: Steps of the stage that are not looked at.
  """

  metric: str
  low: float = -math.inf
  high: float = math.inf
  sign_of: str = 'trouble'
  fatal: bool = False
  after: int = 0


class Objective(NamedTuple):
  """One optimiser's move.

  Attributes:
    loss: (params, stats, batch, key, step) -> (scalar, (stats, metrics)); `step` counts
      from the start of the objective's stage.
    trains: The networks that descend the loss; none for a fit, which writes stats.
    stage: Stage 1 begins when stage 0 ends.
    every: The objective is due at each `every`-th step of its stage.
    split: Where its batches come from: 'train', 'val' for a calibration, 'few_shot'.
    bounds: What its metrics have to stay within.
  """

  loss: Callable[[Params, Stats, Batch, Key, Step], tuple[Array, tuple[Stats, Metrics]]]
  trains: tuple[str, ...] = ()
  stage: int = 0
  every: int = 1
  split: str = 'train'
  bounds: tuple[Bound, ...] = ()


class Method(NamedTuple):
  """A model with its training procedure.

  Attributes:
    init: (key, batch) -> (params, stats).
    objectives: The training procedure, in order.
    infer: (params, stats, batch, key) -> outputs: all that a scorer may ask for; jit
      prunes the rest. It never reads 'lesion'.
  """

  init: Callable[[Key, Batch], tuple[Params, Stats]]
  objectives: Mapping[str, Objective]
  infer: Callable[[Params, Stats, Batch, Key], Outputs]


Adaptation = Callable[[Method], Method]


@struct.dataclass
class State:
  """All that training moves. No key is in it: randomness is `fold_in(key, step)`."""

  step: Array
  params: Params
  stats: Stats
  opt: dict[str, Tree]


def bind(method: Method, params: Params, stats: Stats) -> Infer:
  """The method's inference with its parameters filled in, as scorers take it.

  Outside of the brain the image itself is expected: a scorer that looks around a voxel
  must not take the background, which some presets put far from 0, for an anomaly.
  """

  def infer(batch: Batch, key: Key) -> Outputs:
    outputs = method.infer(params, stats, batch, key)
    expected = {
      name: jnp.where(batch['mask'] > 0, outputs[name], batch['image'])
      for name in EXPECTED
      if name in outputs
    }
    return {**outputs, **expected}

  return infer


def need(outputs: Outputs, scorer: str, *keys: str) -> tuple[Array, ...]:
  """The named outputs, or one sentence on what the scorer needs and what there is."""
  missing = [key for key in keys if key not in outputs]
  if missing:
    raise ValueError(
      f"scorer '{scorer}' needs {', '.join(missing)}; this method gives "
      f'{", ".join(sorted(outputs)) or "nothing"}'
    )
  return tuple(outputs[key] for key in keys)


def stage_starts(stage_ends: tuple[int, ...]) -> tuple[int, ...]:
  """The step at which each stage begins."""
  return (0, *stage_ends[:-1])


def due(
  objectives: Mapping[str, Objective], stage_ends: tuple[int, ...], step: int
) -> tuple[str, ...]:
  """The objectives that move at `step`, in their order; decided on the host."""
  stage = next((i for i, end in enumerate(stage_ends) if step < end), len(stage_ends))
  if stage == len(stage_ends):
    return ()
  within = step - stage_starts(stage_ends)[stage]
  return tuple(
    name
    for name, objective in objectives.items()
    if objective.stage == stage and within % objective.every == 0
  )


def init_state(
  method: Method, tx: Mapping[str, optax.GradientTransformation], key: Key, batch: Batch
) -> State:
  """The state at step 0."""
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
  """(names) -> (state, batches by split, key) -> (state, metrics).

  One compiled, donating update for each objective, whatever it is due together with.
  The objectives move in order, each seeing what those before it changed, and gradients
  are taken with respect to an objective's own networks only.
  """
  starts = stage_starts(stage_ends)
  short = not stage_ends or stage_ends[-1] <= SHORT
  order = list(method.objectives)

  def move(name: str, state: State, batch: Batch, key: Key) -> tuple[State, Metrics]:
    objective = method.objectives[name]
    own = {net: state.params[net] for net in objective.trains}
    key = jax.random.fold_in(jax.random.fold_in(key, state.step), order.index(name))
    step = state.step - starts[objective.stage]

    def loss(own):
      params = {**state.params, **own}
      return objective.loss(params, state.stats, batch, key, step)

    if not own:
      _, (stats, extra) = loss(own)
      return state.replace(stats=stats), {f'{name}/{k}': v for k, v in extra.items()}
    (value, (stats, extra)), grads = jax.value_and_grad(loss, has_aux=True)(own)
    updates, moved = tx[name].update(grads, state.opt[name], own)
    params = {**state.params, **optax.apply_updates(own, updates)}
    state = State(state.step, params, stats, {**state.opt, name: moved})
    return state, {f'{name}/{k}': v for k, v in {'loss': value, **extra}.items()}

  compiled = {
    name: parallel.jit(functools.partial(move, name), short, donate_argnums=0)
    for name in order
  }

  def updater(names: tuple[str, ...]):
    def update(state: State, batches: Mapping[str, Batch], key: Key):
      metrics = {}
      for name in names:
        batch = batches[method.objectives[name].split]
        state, found = compiled[name](state, batch, key)
        metrics |= found
      return state.replace(step=state.step + 1), metrics

    return update

  return updater
