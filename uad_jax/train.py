"""Training loop: updates networks step by step, logs metrics and saves checkpoints.

It stops on SIGTERM or Ctrl-C, with a checkpoint, and on divergence, without one.
"""

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
from uad_jax.method import Key, Method, State, splits_of
from uad_jax.update import due, make_update, stage_starts


class Diverged(RuntimeError):
  """Error: training diverged (value not finite, or metric beyond a fatal bound)."""


class Interrupted(RuntimeError):
  """Error: training was stopped by SIGTERM or Ctrl-C; its state is saved."""


@contextlib.contextmanager
def stop_signals():
  """Context manager that catches SIGTERM and Ctrl-C, so that training stops cleanly.

  It yields a function that tells whether one of the signals has arrived. On exit the
  earlier signal handlers are restored.
  """
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
  """Tells whether all floating-point numbers in a tree of arrays are finite."""
  leaves = [
    jnp.isfinite(x).all()
    for x in jax.tree.leaves(tree)
    if jnp.issubdtype(x.dtype, jnp.floating)
  ]
  return jnp.array(leaves).all() if leaves else jnp.array(True)


def last_good(checkpoints) -> str:
  """Returns words for an error message: step and folder of the last checkpoint."""
  last = checkpoints.latest_step()
  if last is None:
    return 'there is no checkpoint yet'
  return f'the last good checkpoint is step {last} in {checkpoints.directory}'


def check_losses(pending: list[tuple[int, dict]], checkpoints) -> None:
  """Checks that the losses of several training steps are finite.

  Args:
    pending: (step, metrics) of each step since the last check.
    checkpoints: Folder of checkpoints, named in the error.

  Raises:
    Diverged: A loss is not finite; the first such step and its objective are named.
  """
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
  warned: set[tuple[str, str]],
  checkpoints,
) -> None:
  """Checks that training metrics lie within the bounds set by the objectives (losses).

  A bound that is not fatal gives one warning per training.

  Args:
    method: Method whose objectives have the bounds, see `method.Bound`.
    stage_ends: Step at which each stage ends.
    step: Step of the whole training.
    metrics: Metrics by 'OBJECTIVE/METRIC', averaged since the last check.
    warned: Pairs (objective, metric) that were warned of already; new ones are added.
    checkpoints: Folder of checkpoints, named in the error.

  Raises:
    Diverged: A metric is beyond a bound that is fatal.
  """
  for name, objective in method.objectives.items():
    stage_step = step - stage_starts(stage_ends)[objective.stage]
    for bound in objective.bounds:
      value = metrics.get(f'{name}/{bound.metric}')
      if value is None or stage_step <= bound.after:
        continue
      if bound.low <= value <= bound.high:
        continue
      limit = f'below {bound.low:g}' if value < bound.low else f'above {bound.high:g}'
      sentence = (
        f"step {step}: objective '{name}' has {bound.metric} {value:.4g}, {limit}, "
        f'a sign of {bound.sign_of}'
      )
      if bound.fatal:
        raise Diverged(f'{sentence}; {last_good(checkpoints)}')
      if (name, bound.metric) not in warned and parallel.leads():
        print(f'warning, {sentence}', file=sys.stderr, flush=True)
      warned.add((name, bound.metric))


def average(pending: list[tuple[int, dict]]) -> dict[str, float]:
  """Averages each training metric over several steps.

  Steps without the metric do not enter its mean.

  Args:
    pending: (step, metrics) of each step.
  """
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
  """Trains a method to the end of its last training stage and returns the final state.

  Args:
    method: Method to train.
    tx: Optimisers by objective, for objectives that train a network.
    stage_ends: Step at which each stage ends.
    state: State at the first step, or restored from a checkpoint with the streams.
    streams: Data streams by split: iterators over batches of this host, whose position
      `get_state` and `set_state` read and set.
    key: Random key of the training; step `s` uses fold_in(key, s).
    checkpoints: Folder of checkpoints, from `checkpoint.manager`; the final state is
      always saved.
    log: Called with the step, and the metrics by 'OBJECTIVE/METRIC' averaged since the
      last call, with 'steps_per_second' and 'seconds_left'.
    log_every: Number of steps between calls of `log`.
    save_every: Number of steps between checkpoints.

  Raises:
    Diverged: A loss or a parameter is not finite, or a metric is beyond a fatal bound;
      the diverged state is not saved.
    Interrupted: SIGTERM or Ctrl-C arrived; the state is saved.
  """
  devices = parallel.mesh()
  updates = make_update(method, tx, stage_ends)
  step, last = int(state.step), stage_ends[-1] if stage_ends else 0
  first_step, started = step, time.monotonic()
  pending, warned = [], set()  # (step, metrics) not logged yet; bounds broken before

  def flush():
    pending[:] = [(at, jax.device_get(metrics)) for at, metrics in pending]
    check_losses(pending, checkpoints)
    if pending:
      metrics = average(pending)
      rate = (step - first_step) / max(time.monotonic() - started, 1e-9)
      seconds = (last - step) / max(rate, 1e-9)
      log(step, metrics | {'steps_per_second': rate, 'seconds_left': seconds})
      check_bounds(method, stage_ends, step, metrics, warned, checkpoints)
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
        splits = {s for name in names for s in splits_of(method.objectives[name])}
        batches = {
          split: parallel.shard(next(streams[split]), devices)
          for split in sorted(splits)
        }
        state, metrics = updates(names)(state, batches, key)
        parallel.settle(state)
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
  """Formats the progress line: step, losses, steps per second, remaining time.

  Args:
    step: Step of the training.
    last: Last step of the training.
    metrics: Metrics as `train` hands them to `log`.
  """
  losses = ' '.join(
    f'{name.removesuffix("/loss")} {value:.4g}'
    for name, value in metrics.items()
    if name.endswith('/loss')
  )
  minutes, seconds = divmod(int(metrics['seconds_left']), 60)
  return (
    f'step {step}/{last}  {losses}  {metrics["steps_per_second"]:.2f} steps/s  '
    f'{minutes}:{seconds:02d} left'
  )


def print_progress(step: int, last: int, metrics: Mapping[str, float]) -> None:
  """Prints the progress line to stderr; the arguments are those of `log_line`."""
  print(log_line(step, last, metrics), file=sys.stderr, flush=True)
