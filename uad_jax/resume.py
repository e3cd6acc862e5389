"""Functions that train a method in a run folder, from the start or a checkpoint."""

import json
import pathlib
import sys
import time

import jax
import numpy as np
from clu import parameter_overview

from uad_jax import checkpoint, parallel, train
from uad_jax.data import pipeline
from uad_jax.experiment import Experiment
from uad_jax.method import State
from uad_jax.report.atomic_files import read_json, write_text
from uad_jax.report.metrics_log import metrics_log
from uad_jax.update import init_state


def fresh_state(experiment: Experiment) -> State:
  """Creates the training state of step 0 and copies it to every device."""
  config = experiment.config
  records = experiment.records(config.data.train)
  examples = [records.example(i % len(records)) for i in range(2)]
  batch = {name: np.stack([e[name] for e in examples]) for name in examples[0]}

  @parallel.jit
  def init(key, batch):
    return init_state(experiment.method, experiment.tx, key, batch)

  # This generator compiles five times faster than the default; it is not split over
  # devices, which a state that every device holds whole does not need.
  key = jax.random.key(config.seed, impl='rbg')
  return parallel.replicate(init(key, batch), parallel.mesh())


def trained(experiment: Experiment, folder: pathlib.Path) -> State:
  """Trains a method to the end and returns its final state.

  Training starts from the newest readable checkpoint of the run folder, or at step 0.

  Args:
    experiment: Experiment with the method and its data.
    folder: Run folder, in which checkpoints and logs are written.
  """
  config, devices = experiment.config, parallel.mesh()
  parallel.check_batch_size(config.batch_size, devices)
  manager = checkpoint.manager(folder / 'checkpoints')
  state = fresh_state(experiment)
  overview = parameter_overview.get_parameter_overview(state.params)
  if parallel.leads():
    (folder / 'parameters.txt').write_text(f'{overview}\n')
  newest = checkpoint.restore(manager, state)
  checkpoint.forget_after(manager, newest[0] if newest else -1)
  last = experiment.stage_ends[-1] if experiment.stage_ends else 0
  if newest and newest[0] >= last:
    print(f'already trained: {folder}/checkpoints/{newest[0]}', file=sys.stderr)
    return newest[1]
  streams = {
    split: pipeline.training_stream(
      experiment.records(config.data[split]),
      config.batch_size,
      config.seed,
      jax.process_index(),
      jax.process_count(),
    )
    for split in sorted({o.split for o in experiment.method.objectives.values()})
  }
  if newest:
    step, state, positions = newest
    print(f'resuming at step {step} of {last}', file=sys.stderr)
    for split, stream in streams.items():
      stream.set_state(positions[split])
  record = folder / 'training.json'
  before = read_json(record).get('seconds', 0.0)
  start = time.monotonic()
  with metrics_log(folder) as write:

    def log(step, metrics):
      if parallel.leads():
        train.print_progress(step, last, metrics)
        write(step, metrics)
        seconds = before + time.monotonic() - start
        write_text(record, json.dumps({'steps': step, 'seconds': seconds}))

    return train.train(
      experiment.method,
      experiment.tx,
      experiment.stage_ends,
      state,
      streams,
      jax.random.key(config.seed + 1),
      manager,
      log=log,
      log_every=config.log_every,
      save_every=config.save_every,
    )
