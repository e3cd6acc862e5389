"""THE loop: it moves whatever objectives are due until the last stage has ended."""

import contextlib
import signal
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from uad_jax import checkpoint, parallel
from uad_jax.method import Key, Method, State, due, make_update, stage_starts


class Diverged(RuntimeError):
  """A loss or a parameter is no longer finite."""


class Interrupted(RuntimeError):
  """The run was asked to stop and has saved its state."""


@contextlib.contextmanager
def stop_signals():
  """Yields a function that says whether SIGTERM or Ctrl-C has come since."""
  received = []
  previous = {}
  for number in (signal.SIGTERM, signal.SIGINT):
    with contextlib.suppress(ValueError):  # not the main thread, as in a notebook
      previous[number] = signal.signal(number, lambda *_: received.append(True))
  try:
    yield lambda: bool(received)
  finally:
    for number, handler in previous.items():
      signal.signal(number, handler)


@jax.jit
def all_finite(tree) -> jax.Array:
  """Whether every number of the tree is finite."""
  leaves = [
    jnp.isfinite(x).all()
    for x in jax.tree.leaves(tree)
    if jnp.issubdtype(x.dtype, jnp.floating)
  ]
  return jnp.array(leaves).all() if leaves else jnp.array(True)


def last_good(checkpoints) -> str:
  """Where a diverged run can be taken up, in words."""
  last = checkpoints.latest_step()
  if last is None:
    return 'there is no checkpoint yet'
  return f'the last good checkpoint is step {last} in {checkpoints.directory}'


def check_losses(pending: list[tuple[int, dict]], checkpoints) -> None:
  """Raises on the first loss that is not finite, naming step and objective."""
  for step, metrics in pending:
    for name, value in metrics.items():
      if name.endswith('/loss') and not np.isfinite(value):
        raise Diverged(
          f"step {step}: objective '{name.removesuffix('/loss')}' gave the loss "
          f'{float(value)}; {last_good(checkpoints)}'
        )


def check_bounds(
  method: Method,
  stage_ends: tuple[int, ...],
  step: int,
  metrics: Mapping[str, float],
  told: set[tuple[str, str]],
  checkpoints,
) -> None:
  """Tells once of each bound that the metrics do not keep; raises where it is fatal."""
  for name, objective in method.objectives.items():
    within = step - stage_starts(stage_ends)[objective.stage]
    for bound in objective.bounds:
      value = metrics.get(f'{name}/{bound.metric}')
      if value is None or within <= bound.after or bound.low <= value <= bound.high:
        continue
      limit = f'below {bound.low:g}' if value < bound.low else f'above {bound.high:g}'
      sentence = (
        f"step {step}: objective '{name}' has {bound.metric} {value:.4g}, {limit}, "
        f'a sign of {bound.sign_of}'
      )
      if bound.fatal:
        raise Diverged(f'{sentence}; {last_good(checkpoints)}')
      if (name, bound.metric) not in told and parallel.leads():
        print(f'warning, {sentence}', file=sys.stderr, flush=True)
      told.add((name, bound.metric))


def average(pending: list[tuple[int, dict]]) -> dict[str, float]:
  """The mean of each metric over the steps that gave it."""
  names = dict.fromkeys(name for _, metrics in pending for name in metrics)
  return {
    name: float(np.mean([metrics[name] for _, metrics in pending if name in metrics]))
    for name in names
  }


def train(
  method: Method,
  tx: Mapping[str, Any],
  stage_ends: tuple[int, ...],
  state: State,
  streams: Mapping[str, Any],
  key: Key,
  checkpoints,
  *,
  log: Callable[[int, dict[str, float]], None],
  log_every: int = 50,
  save_every: int = 500,
) -> State:
  """Trains from `state.step` to the end of the last stage and returns the final state.

  Args:
    method: What to train.
    tx: An optax transformation for each objective that trains something.
    stage_ends: The step at which each stage ends.
    state: Fresh, or restored together with the streams.
    streams: By split, iterators over host batches with get_state and set_state.
    key: The run's key; step `s` uses fold_in(key, s).
    checkpoints: From `checkpoint.manager`; the final state is always saved.
    log: Called with the step and the metrics averaged since the last call.
    log_every: Steps between calls of `log`.
    save_every: Steps between checkpoints.

  Raises:
    Diverged: A loss or a parameter is not finite, or a metric is beyond a bound that
      ends the training; nothing bad has been saved.
    Interrupted: SIGTERM or Ctrl-C came; the state has been saved.
  """
  devices = parallel.mesh()
  updates = make_update(method, tx, stage_ends)
  step, last = int(state.step), stage_ends[-1] if stage_ends else 0
  first, started, pending, told = step, time.monotonic(), [], set()

  def flush():
    pending[:] = [(at, jax.device_get(metrics)) for at, metrics in pending]
    check_losses(pending, checkpoints)
    if pending:
      metrics = average(pending)
      rate = (step - first) / max(time.monotonic() - started, 1e-9)
      left = (last - step) / max(rate, 1e-9)
      log(step, metrics | {'steps_per_second': rate, 'seconds_left': left})
      check_bounds(method, stage_ends, step, metrics, told, checkpoints)
    pending.clear()

  def save():
    flush()
    if not all_finite(state.params):
      raise Diverged(
        f'step {step}: a parameter is not finite after this update; '
        f'{last_good(checkpoints)}'
      )
    positions = {name: stream.get_state() for name, stream in streams.items()}
    checkpoint.save(checkpoints, step, state, positions)

  if step >= last:
    save()
  with stop_signals() as stopped:
    while step < last:
      names = due(method.objectives, stage_ends, step)
      if names:
        splits = {method.objectives[name].split for name in names}
        batches = {
          split: parallel.shard(next(streams[split]), devices)
          for split in sorted(splits)
        }
        state, metrics = updates(names)(state, batches, key)
        pending.append((step, metrics))
      else:
        state = state.replace(step=state.step + 1)
      step += 1
      if stopped():
        save()
        raise Interrupted(f'stopped at step {step} of {last}; the state is saved')
      if step % save_every == 0 or step == last:
        save()
      elif step % log_every == 0:
        flush()
  return state


def log_line(step: int, last: int, metrics: Mapping[str, float]) -> str:
  """One line of progress: step, losses, rate and time left."""
  losses = ' '.join(
    f'{name.removesuffix("/loss")} {value:.4g}'
    for name, value in metrics.items()
    if name.endswith('/loss')
  )
  left = int(metrics['seconds_left'])
  return (
    f'step {step}/{last}  {losses}  {metrics["steps_per_second"]:.2f} steps/s  '
    f'{left // 60}:{left % 60:02d} left'
  )


def print_progress(step: int, last: int, metrics: Mapping[str, float]) -> None:
  """Shows the line of progress on stderr."""
  print(log_line(step, last, metrics), file=sys.stderr, flush=True)
