"""Functions that save and load checkpoints (training state, data stream positions)."""

import pathlib
import sys
from typing import Any

import jax
import orbax.checkpoint as ocp

from uad_jax.method import State

CheckpointManager = ocp.CheckpointManager


def manager(directory: str | pathlib.Path, keep: int = 3) -> CheckpointManager:
  """Opens a folder of checkpoints, or creates it, as an orbax checkpoint manager.

  Args:
    directory: Folder, `checkpoints` in a run folder.
    keep: Number of newest checkpoints that are kept; older ones are deleted.
  """
  options = ocp.CheckpointManagerOptions(
    max_to_keep=keep, create=True, enable_async_checkpointing=False
  )
  return ocp.CheckpointManager(
    pathlib.Path(directory).resolve(), options=options, item_names=('state', 'streams')
  )


def save(
  checkpoints: CheckpointManager, step: int, state: State, streams: dict[str, Any]
) -> None:
  """Writes a checkpoint to disk, unless one of the same step is saved already.

  It returns when the checkpoint is complete.

  Args:
    checkpoints: Folder of checkpoints, from `manager`.
    step: Training step of the state.
    state: Training state.
    streams: Positions of the data streams by split, from their `get_state`.
  """
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
  """Deletes all checkpoints that are newer than the checkpoint of step `step`.

  `step` is the newest checkpoint that `restore` could read; those after it are damaged.
  A training that resumes there reaches their steps again, and `save` would skip them.
  """
  for newer in checkpoints.all_steps():
    if newer > step:
      checkpoints.delete(newer)


def shapes(params: Any) -> dict[str, tuple[int, ...]]:
  """Returns a dict from parameter paths, such as 'encoder/Conv_0/kernel', to shapes."""
  leaves = jax.tree_util.tree_flatten_with_path(params)[0]
  return {
    jax.tree_util.keystr(path, simple=True, separator='/'): leaf.shape
    for path, leaf in leaves
  }


def check_method(directory: Any, like: State) -> None:
  """Checks that a checkpoint fits a method: equal parameter names and shapes.

  A damaged checkpoint passes here; `restore` reports it.

  Args:
    directory: Folder of one checkpoint.
    like: State of the method that the checkpoint is to be loaded into.

  Raises:
    ValueError: A parameter is missing or has another shape.
  """
  try:
    metadata = ocp.PyTreeCheckpointHandler().metadata(directory / 'state').tree
    stored = shapes(metadata['params'])
  except Exception:  # orbax raises many kinds for a damaged folder
    return
  wanted = shapes(like.params)
  for name in sorted({*stored, *wanted}):
    if stored.get(name) != wanted.get(name):
      raise ValueError(
        f'{directory} is a checkpoint of another method or config: its parameter '
        f'{name} is {stored.get(name, "missing")}, here it is '
        f'{wanted.get(name, "missing")}'
      )


def restore(
  checkpoints: CheckpointManager, like: State
) -> tuple[int, State, dict[str, Any]] | None:
  """Loads the newest checkpoint that can be read.

  A damaged checkpoint is reported on stderr and the one before it is tried;
  `forget_after` deletes the damaged ones.

  Args:
    checkpoints: Folder of checkpoints, from `manager`.
    like: State of the same structure; the loaded state takes its shapes and its
      placement on devices.

  Returns:
    Step, state and positions of the data streams by split; None where no checkpoint
    can be read.

  Raises:
    ValueError: The newest readable checkpoint belongs to another method or config.
  """
  template = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
  for step in sorted(checkpoints.all_steps(), reverse=True):
    check_method(checkpoints.directory / str(step), like)
    try:
      restored = checkpoints.restore(
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
    return step, restored['state'], restored['streams']
  return None
