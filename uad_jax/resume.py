"""Functions that prepare a run folder and start or resume the training in it."""

import contextlib
import json
import pathlib
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from clu import parameter_overview
from ml_collections import ConfigDict

from uad_jax import checkpoint, parallel, registry, train
from uad_jax import experiment as experiments
from uad_jax.data import locks, mixing, pipeline
from uad_jax.data.whole_batches import WholeBatches
from uad_jax.experiment import Experiment
from uad_jax.few_shot import source_run
from uad_jax.method import TARGET, State
from uad_jax.report.atomic_files import read_json, write_text
from uad_jax.report.metrics_log import metrics_log
from uad_jax.update import init_state

LOCKS = ('.lock', '.lock.pid')
"""Names of the file of a run folder that the process which works there holds."""


def first_difference(old: dict, new: dict) -> str | None:
  """Describes the first key in which two configs differ, with both values.

  Returns:
    Text 'KEY was OLD, now NEW'; None if the configs agree.
  """
  for key, a, b in registry.differences(old, new, 'nothing'):
    return f'{key} was {a}, now {b}'
  return None


def trained_part(config: dict) -> dict:
  """Returns a config without the keys that affect only the evaluation.

  Left out are scores, variants, post-processing and resamples, the test split, and data
  sets that only the test split names.
  """
  data = dict(config['data'])
  data['test'] = ''
  named = {term.data for terms in mixing.splits(data).values() for term in terms}
  if data.get('others'):
    data['others'] = {k: v for k, v in data['others'].items() if k in named}
  return {**registry.without(config, *registry.AFTER_TRAINING), 'data': data}


def check_claim(workdir: pathlib.Path, config: dict) -> None:
  """Checks that a run folder fits a config, or can be created for it.

  A folder fits if its config differs only in the evaluation (test split, scores, ...).

  Args:
    workdir: The run folder.
    config: Config in the form that `registry.plain` returns.

  Raises:
    ValueError: The folder belongs to another training, or is not a run folder.
  """
  path = workdir / 'config.json'
  if path.exists():
    difference = first_difference(trained_part(read_json(path)), trained_part(config))
    if difference:
      raise ValueError(
        f'{workdir} is a run of another config (config.{difference}); '
        'choose another --workdir'
      )
  elif workdir.exists() and not workdir.is_dir():
    raise ValueError(f'{workdir} is a file; choose a folder as --workdir')
  elif workdir.exists() and any(p.name not in LOCKS for p in workdir.iterdir()):
    raise ValueError(f'{workdir} is not empty and no run; choose another --workdir')


def claim(workdir: pathlib.Path, config: dict, card: Mapping[str, Any]) -> None:
  """Creates or reuses a run folder, and writes its config.json and model.json.

  The arguments and errors are those of `check_claim` and `check_data`, which are called
  first.
  """
  check_claim(workdir, config)
  check_data(workdir, card, config)
  workdir.mkdir(parents=True, exist_ok=True)
  write_text(workdir / 'config.json', json.dumps(config, indent=2))
  write_text(workdir / 'model.json', json.dumps(card, indent=1))


@contextlib.contextmanager
def alone(workdir: pathlib.Path) -> Iterator[None]:
  """Context manager that keeps other processes from training in the same run folder.

  If the folder did not exist before and is empty at the end, it is removed.

  Raises:
    ValueError: Another process uses the folder.
  """
  made = not workdir.exists()
  try:
    with locks.alone(workdir / LOCKS[0], None):
      yield
  except locks.Busy as process:
    raise ValueError(
      f'{process} works in {workdir}; wait for its end, or choose another --workdir'
    ) from None
  finally:
    if made:
      with contextlib.suppress(OSError):  # not empty
        workdir.rmdir()


def check_data(workdir: pathlib.Path, card: Mapping[str, Any], config: dict) -> None:
  """Checks that the data have not changed since the training of a run started.

  Data sets that only the test split uses may have changed.

  Args:
    workdir: The run folder.
    card: `model_card.describe` of the data as they are now.
    config: Config in the form that `registry.plain` returns.

  Raises:
    ValueError: The run has checkpoints or results of other data.
  """
  old = read_json(workdir / 'model.json')
  begun = any((workdir / 'checkpoints').glob('[0-9]*'))
  if not old or not (begun or (workdir / 'results.json').exists()):
    return
  names = mixing.chosen(trained_part(config)['data'])
  before, now = old.get('digests'), card['digests']
  if before is None:  # of a run whose card lists no data sets
    single = len(now) == 1 and ' + ' not in old['data']
    before = {name: old['manifest'] for name in now} if single else {}
  if any(before.get(name, now[name]) != now[name] for name in names):
    raise ValueError(
      f'{workdir} was trained on the data {old["data"]} ({old["manifest"][:12]}), and '
      f'now they are {card["data"]} ({card["manifest"][:12]}), with other scans or '
      'splits; choose another --workdir'
    )


def fresh_state(experiment: Experiment) -> State:
  """Creates the state of step 0, or of `config.start`, and copies it to all devices."""
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
  state = init(key, batch)
  if config.get('start'):
    state = source_run.started(state, config.start)
  return parallel.replicate(state, parallel.mesh())


def training_records(experiment: Experiment, split: str) -> Sequence:
  """Returns the records of a split for training; target scans fill whole batches.

  Args:
    experiment: Experiment with prepared data.
    split: Key of `config.data`, such as 'train'.
  """
  records = experiments.split_records(experiment, split)
  if split == TARGET:
    return WholeBatches(records, batch_size_of(experiment.config, split))
  return records


def batch_size_of(config: ConfigDict, split: str) -> int:
  """Returns the batch size of a split in the training.

  Args:
    config: Config of the experiment; `target_batch_size`, of an adapted run, replaces
      `batch_size` for the target scans.
    split: Key of `config.data`, such as 'train'.
  """
  if split == TARGET:
    return config.get('target_batch_size', config.batch_size)
  return config.batch_size


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
      training_records(experiment, split),
      batch_size_of(config, split),
      config.seed,
      jax.process_index(),
      jax.process_count(),
    )
    for split in experiments.training_splits(experiment.method)
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
