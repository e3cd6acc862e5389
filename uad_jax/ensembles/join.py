"""Function that joins finished runs to a run whose method is their ensemble."""

import functools
import json
import os
import pathlib
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from uad_jax import checkpoint, experiment, registry, resume
from uad_jax.trained_run import OpenRun, open_run
from uad_jax.update import example_shapes, init_state

JOINED = 'joined_seeds'
"""Key of the joined config: the seeds of the runs, so that its hash differs from that
of an ensemble which was trained as a whole."""


def joined_config(runs: Sequence[OpenRun]) -> ConfigDict:
  """Returns the config of the ensemble of some runs.

  It is that of the first run with the adaptation `ensemble` and the seeds of all.

  Args:
    runs: Finished runs.

  Raises:
    ValueError: There are fewer than two runs, two have the same seed, or they differ in
      more than the seed, in the data or in the training step.
  """
  if len(runs) < 2:
    raise ValueError(f'an ensemble needs at least 2 runs, not {len(runs)}')
  first, *others = runs
  config = first.config.copy_and_resolve_references()
  seeds = [int(run.config.seed) for run in runs]
  if len(set(seeds)) < len(seeds):
    raise ValueError(f'the runs of an ensemble need different seeds, not {seeds}')
  for run in others:
    configs = (
      resume.trained_part(registry.without(registry.plain(run.config), 'seed'))
      for run in (first, run)
    )
    if difference := resume.first_difference(*configs):
      raise ValueError(
        f'{first.folder} and {run.folder} differ in more than the seed: '
        f'config.{difference}'
      )
    if run.card['manifest'] != first.card['manifest']:
      raise ValueError(f'{first.folder} and {run.folder} were trained on other data')
    if int(run.state.step) != int(first.state.step):
      raise ValueError(
        f'{first.folder} is at training step {int(first.state.step)}, {run.folder} at '
        f'{int(run.state.step)}'
      )
  if 'ensemble' in config.adapt:
    raise ValueError(f'{first.folder} is an ensemble already')
  with config.unlocked():
    config.adapt.ensemble = dict(members=len(runs))
    config[JOINED] = tuple(seeds)
  return config


def join(
  folders: Sequence[str | os.PathLike], workdir: str | os.PathLike
) -> ConfigDict:
  """Writes the run folder of the ensemble of some finished runs, without evaluation.

  Parameters and statistics of the runs are stacked, as the adaptation `ensemble` keeps
  them, and saved as a checkpoint of the last training step; `run_folder.run` with the
  returned config then evaluates it.

  Args:
    folders: Run folders of trainings that differ in nothing but the seed.
    workdir: Run folder of the ensemble, to be made.

  Returns:
    Config of the ensemble.

  Raises:
    ValueError: The runs do not fit each other, or the folder holds something else.
  """
  runs = [open_run(folder) for folder in folders]
  config, card = joined_config(runs), runs[0].card
  folder, settings = pathlib.Path(workdir), registry.plain(config)
  # As json reads it again: tuples are lists.
  resume.claim(folder, json.loads(json.dumps(settings)), card)
  shape = tuple(card['shape'])
  method = experiment.make_method(config, shape, card['channels'])
  tx = experiment.make_optimisers(config, method)
  start = functools.partial(init_state, method, tx)
  examples = example_shapes((*shape, card['channels']))
  shapes = jax.eval_shape(start, jax.random.key(0), examples)
  stacked = {
    part: jax.tree.map(
      lambda *leaves: jnp.stack(leaves), *(getattr(run.state, part) for run in runs)
    )
    for part in ('params', 'stats')
  }
  state = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
  state = state.replace(step=runs[0].state.step, **stacked)
  manager = checkpoint.manager(folder / 'checkpoints')
  checkpoint.save(manager, int(state.step), state, {})
  return config
