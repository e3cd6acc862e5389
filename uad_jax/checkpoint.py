"""Checkpoints, by orbax: the state and the position of every data stream, together."""

import pathlib
import sys
from typing import Any

import jax
import orbax.checkpoint as ocp

from uad_jax.method import State

CheckpointManager = ocp.CheckpointManager


def manager(directory: str | pathlib.Path, keep: int = 3) -> CheckpointManager:
  """Opens the folder of checkpoints; the `keep` newest are kept."""
  options = ocp.CheckpointManagerOptions(
    max_to_keep=keep, create=True, enable_async_checkpointing=False
  )
  return ocp.CheckpointManager(
    pathlib.Path(directory).resolve(), options=options, item_names=('state', 'streams')
  )


def save(
  checkpoints: CheckpointManager, step: int, state: State, streams: dict[str, Any]
) -> None:
  """Writes one checkpoint; a step that is there already is left as it is."""
  if step in checkpoints.all_steps():
    return
  checkpoints.save(
    step,
    args=ocp.args.Composite(
      state=ocp.args.StandardSave(state), streams=ocp.args.JsonSave(streams)
    ),
  )
  checkpoints.wait_until_finished()


def restore(
  checkpoints: CheckpointManager, like: State
) -> tuple[int, State, dict[str, Any]] | None:
  """The newest checkpoint that can be read, as (step, state, streams); None if none is.

  A damaged one is reported, removed from the list and the one before is used.

  Args:
    checkpoints: From `manager`.
    like: A state of the same structure, whose shapes and placement the result takes.
  """
  template = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
  damaged = []
  for step in sorted(checkpoints.all_steps(), reverse=True):
    try:
      found = checkpoints.restore(
        step,
        args=ocp.args.Composite(
          state=ocp.args.StandardRestore(template), streams=ocp.args.JsonRestore()
        ),
      )
    except Exception as error:  # orbax raises many kinds for a damaged folder
      reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
      print(
        f'checkpoint {step} in {checkpoints.directory} cannot be read ({reason}); '
        'trying the one before',
        file=sys.stderr,
      )
      damaged.append(step)
      continue
    for bad in damaged:
      checkpoints.delete(bad)
    return step, found['state'], found['streams']
  return None
