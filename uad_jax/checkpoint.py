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


def forget_after(checkpoints: CheckpointManager, step: int) -> None:
  """Removes what is newer than `step`, which could not be read.

  Training that goes on from `step` could not save beside it.
  """
  for newer in checkpoints.all_steps():
    if newer > step:
      checkpoints.delete(newer)


def shapes(params: Any) -> dict[str, tuple[int, ...]]:
  """The shape of every parameter by its path."""
  leaves = jax.tree_util.tree_flatten_with_path(params)[0]
  return {
    jax.tree_util.keystr(p, simple=True, separator='/'): a.shape for p, a in leaves
  }


def check_method(directory: Any, like: State) -> None:
  """Raises when the checkpoint can be read and is of another method or config."""
  try:
    stored = ocp.PyTreeCheckpointHandler().metadata(directory / 'state').tree
    found = shapes(stored['params'])
  except Exception:  # of many kinds for a damaged folder, which `restore` tells
    return
  wanted = shapes(like.params)
  for name in sorted({*found, *wanted}):
    if found.get(name) != wanted.get(name):
      raise ValueError(
        f'{directory} is a checkpoint of another method or config: its parameter '
        f'{name} is {found.get(name, "missing")}, that of this one '
        f'{wanted.get(name, "missing")}'
      )


def restore(
  checkpoints: CheckpointManager, like: State
) -> tuple[int, State, dict[str, Any]] | None:
  """The newest checkpoint that can be read, as (step, state, streams); None if none is.

  A damaged one is reported and the one before is used; `forget_after` removes it.

  Args:
    checkpoints: From `manager`.
    like: A state of the same structure, whose shapes and placement the result takes.

  Raises:
    ValueError: It is a checkpoint of other networks.
  """
  template = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
  for step in sorted(checkpoints.all_steps(), reverse=True):
    check_method(checkpoints.directory / str(step), like)
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
      continue
    return step, found['state'], found['streams']
  return None
