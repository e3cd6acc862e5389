"""A sweep of an adaptation over target scans, pass by pass, as the training runs it."""

import jax
import jax.numpy as jnp
import numpy as np

from tests.method_table import ROWS
from uad_jax.method import State
from uad_jax.registry import named
from uad_jax.update import make_update, on_target


def make_method(name):
  """A tiny method of the table, not trained."""
  shape, options, _ = ROWS[name]
  return named('methods', name)(shape, channels=1, **options)


def scattered(tree, seed=0):
  """Adds noise to arrays, so that no two layers are alike."""
  rng = np.random.default_rng(seed)
  return jax.tree.map(
    lambda leaf: np.asarray(leaf + 0.2 * np.abs(rng.standard_normal(leaf.shape)), 'f4'),
    jax.device_get(tree),
  )


def rows(batch, indices):
  return {name: value[indices] for name, value in batch.items()}


def shuffled_passes(batch, size, passes, seed=0):
  """Batches of several passes over the records, each in another order."""
  rng = np.random.default_rng(seed)
  for _ in range(passes):
    order = rng.permutation(len(batch['image']))
    for start in range(0, len(order), size):
      yield rows(batch, order[start : start + size])


def swept(method, params, stats, batches, key):
  """State after one step of the objectives on target scans for each of the batches.

  `batches` are dicts of batches by split.
  """
  method, batches = on_target(method), list(batches)
  update = make_update(method, {}, (len(batches),))(tuple(method.objectives))
  start = State(np.zeros((), 'int32'), params, stats, {})
  state = jax.tree.map(jnp.array, start)  # a copy, which the update may use up
  for batch in batches:
    state, _ = update(state, batch, key)
  return jax.device_get(state)
