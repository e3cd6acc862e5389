"""A batch of each domain, and training steps of an adaptation on them."""

import jax
import numpy as np
import optax

from tests.method_table import ROWS, make_batch
from uad_jax.registry import named
from uad_jax.update import due, init_state, make_update, on_target


def batches(shape=(16, 16), size=4):
  """Source scans, and target scans that are darker and of other contrast."""
  source, target = make_batch(shape, size), make_batch(shape, size, seed=1)
  return {'train': source, 'few_shot': {**target, 'image': 0.7 * target['image'] ** 2}}


def tiny(name):
  """A method of `tests.method_table` at its small size."""
  shape, options, _ = ROWS[name]
  return named('methods', name)(shape, channels=1, **options)


def steps(method, ends, splits, key, rate=1e-3):
  """Adapts a method with the objectives that see target scans.

  Returns the state at each step, the first included, and the metrics by step.
  """
  method = on_target(method)
  tx = {name: optax.adam(rate) for name, o in method.objectives.items() if o.trains}
  update = make_update(method, tx, ends)
  state = jax.jit(lambda key: init_state(method, tx, key, splits['train']))(key)
  states, history = [jax.device_get(state)], []
  for step in range(ends[-1]):
    names = due(method.objectives, ends, step)
    step_key = jax.random.fold_in(key, step)
    state, metrics = update(names)(state, splits, step_key)
    states.append(jax.device_get(state))
    history.append(jax.device_get(metrics))
  return states, history


def moved(before, after):
  """Names of the networks whose parameters differ between two states."""
  return {
    name
    for name in before.params
    if not all(
      np.array_equal(a, b)
      for a, b in zip(
        jax.tree.leaves(before.params[name]),
        jax.tree.leaves(after.params[name]),
        strict=True,
      )
    )
  }
