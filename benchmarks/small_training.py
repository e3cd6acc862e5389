"""Training of a method on arrays, without a run folder, for checks on small images."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np
import optax

from uad_jax.method import Method
from uad_jax.update import due, init_state, make_update


class Training(NamedTuple):
  """Compiled functions of a method; they serve any number of trainings.

  Attributes:
    start: (key, batch) -> state.
    update: (state, batch, key) -> state, the next step.
    infer: (params, stats, batch, key) -> outputs.
    steps: Number of steps.
  """

  start: Callable
  update: Callable
  infer: Callable
  steps: int

  def run(self, draw: Callable[[], dict], key) -> Callable[[dict], dict]:
    """Trains on batches that `draw` returns; the result maps a batch to its outputs."""
    state = self.start(key, draw())
    for _ in range(self.steps):
      state = self.update(state, draw(), key)
    return lambda batch: self.infer(state.params, state.stats, batch, key)


def training_of(method: Method, steps: tuple[int, ...], rate: float) -> Training:
  """Makes the functions that train a method with Adam.

  Args:
    method: The method.
    steps: Steps by stage.
    rate: Learning rate.
  """
  ends = tuple(np.cumsum(steps).tolist())
  trained = [key for key, o in method.objectives.items() if o.trains]
  tx = {key: optax.adam(rate) for key in trained}
  make = functools.cache(make_update(method, tx, ends))

  def update(state, batch, key):
    names = due(method.objectives, ends, int(state.step))
    return make(names)(state, {'train': batch}, key)[0]

  start = jax.jit(lambda key, batch: init_state(method, tx, key, batch))
  return Training(start, update, jax.jit(method.infer), ends[-1])


def batch_of(images: np.ndarray) -> dict[str, np.ndarray]:
  """Returns images [B, *S, C] as a batch in which every voxel is brain."""
  return {
    'image': images,
    'mask': np.ones_like(images[..., :1]),
    'position': np.full(len(images), 0.5, np.float32),
    'weight': np.ones(len(images), np.float32),
  }
