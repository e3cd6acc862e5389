"""A config becomes data, method, scorers and optimisers; below here nobody sees one."""

import functools
import pathlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from clu import parameter_overview
from ml_collections import ConfigDict

from uad_jax import checkpoint, optimisers, parallel, train
from uad_jax.augmentation import synthetic_lesions
from uad_jax.data import manifest, mixing, pipeline
from uad_jax.data.mixing import PAINTED
from uad_jax.datasets import catalogue
from uad_jax.method import Method, Scorer, State, init_state
from uad_jax.registry import call, named, plain, without


class Experiment(NamedTuple):
  """Everything a config stands for, ready to be trained, evaluated or applied."""

  config: ConfigDict
  builders: dict[str, Any]
  records: Callable[[str], Sequence]
  method: Method
  variants: dict[str, dict[str, float]]
  scorers: dict[str, Scorer]
  tx: dict[str, Any]
  stage_ends: tuple[int, ...]


def make_builder(options: Mapping[str, Any]) -> Any:
  """The builder of a data set, by its name and options; it builds nothing yet."""
  name, own = options['name'], without(options, 'name', 'dir')
  where = pathlib.Path(options['dir']).resolve()
  make = catalogue.module(name).open_builder
  return call(f"dataset '{name}'", make, own, data_dir=where)


def open_data(data: ConfigDict) -> dict[str, Any]:
  """The builders of all data sets that the splits name, built now if need be."""
  chosen = mixing.chosen(plain(data))
  builders = {name: make_builder(options) for name, options in chosen.items()}
  mixing.check_agreement(builders)
  for builder in builders.values():
    if parallel.leads():
      builder.download_and_prepare()
    parallel.wait()
    if not parallel.leads():  # which may not see the same disk
      builder.download_and_prepare()
  return builders


def make_method(config: ConfigDict, shape: tuple[int, ...], channels: int) -> Method:
  """The adapted method that a config describes, for images of this shape."""
  method = call(
    f"method '{config.method.name}'",
    named('methods', config.method.name),
    without(config.method, 'name'),
    shape=tuple(shape),
    channels=channels,
  )
  for name, options in config.adapt.items():
    method = call(f"adaptation '{name}'", named('adapt', name), options)(method)
  return method


def make_scorers(config: ConfigDict) -> dict[str, Scorer]:
  """The scorers of a config, by the row that they fill."""
  return {
    row: call(
      f"scorer '{options.scorer}'",
      named('scores', options.scorer),
      without(options, 'scorer'),
    )
    for row, options in config.scores.items()
  }


def make_optimisers(config: ConfigDict, method: Method) -> dict[str, Any]:
  """An optimiser for each objective that trains something."""
  tx = {}
  for name, objective in method.objectives.items():
    if objective.stage >= len(config.steps):
      raise ValueError(
        f"config.steps has {len(config.steps)} stages, but objective '{name}' belongs "
        f'to stage {objective.stage}'
      )
    if objective.trains:
      moves = -(-config.steps[objective.stage] // objective.every)
      options = {**config.optimiser, **config.optimisers.get(name, {})}
      tx[name] = call('optimiser', optimisers.make, options, steps=moves)
  return tx


def build(config: ConfigDict) -> Experiment:
  """The experiment that a config describes; builds its data set if need be."""
  builders = open_data(config.data)
  *shape, channels = mixing.first(builders).info.features['image'].shape
  method = make_method(config, tuple(shape), channels)
  return Experiment(
    config=config,
    builders=builders,
    records=mixing.reader(builders),
    method=method,
    variants={name: plain(asked) for name, asked in config.variants.items()},
    scorers=make_scorers(config),
    tx=make_optimisers(config, method),
    stage_ends=tuple(int(end) for end in np.cumsum(config.steps)),
  )


def check_splits(experiment: Experiment) -> None:
  """Raises, before any training, unless the splits that the config names exist."""
  data = experiment.config.data
  names = {data[o.split] for o in experiment.method.objectives.values()}
  names |= {data.train, data.val, data.test, data.selection} - {PAINTED, ''}
  for name in sorted(names):
    experiment.records(name)


def model_card(experiment: Experiment) -> dict[str, Any]:
  """What predict and tables need of the data: shape, steps, fingerprint, size."""
  builder = mixing.first(experiment.builders)
  *shape, channels = builder.info.features['image'].shape
  return {
    'shape': shape,
    'channels': channels,
    'steps': builder.scan_steps(),
    'data': ' + '.join(b.info.full_name for b in experiment.builders.values()),
    'manifest': digest(experiment),
    'training': training_size(experiment),
  }


def training_size(experiment: Experiment) -> dict[str, int]:
  """How many subjects and records the training split has, by the data's manifests."""
  split = experiment.config.data.train
  subjects = {
    (term.data, volume['subject'])
    for term in mixing.parse(split)
    for volume in manifest.read(experiment.builders[term.data].data_dir)['volumes']
    if volume['split'] == term.split
  }
  return {'subjects': len(subjects), 'records': len(experiment.records(split))}


def digest(experiment: Experiment) -> str:
  """Fingerprint of the data; only runs that share it may share a table."""
  return mixing.digest(experiment.builders, plain(experiment.config.data))


def fresh_state(experiment: Experiment) -> State:
  """The state at step 0, copied to every device."""
  config = experiment.config
  found = experiment.records(config.data.train)
  examples = [found.example(i % len(found)) for i in range(2)]
  batch = {name: np.stack([e[name] for e in examples]) for name in examples[0]}

  @parallel.jit
  def init(key, batch):
    return init_state(experiment.method, experiment.tx, key, batch)

  # This generator compiles five times faster than the default; it is not split over
  # devices, which a state that every device holds whole does not need.
  key = jax.random.key(config.seed, impl='rbg')
  return parallel.replicate(init(key, batch), parallel.mesh())


def restore(experiment: Experiment, workdir: pathlib.Path):
  """The newest readable checkpoint as (step, state, streams), or None."""
  manager = checkpoint.manager(workdir / 'checkpoints')
  return checkpoint.restore(manager, fresh_state(experiment))


def trained(experiment: Experiment, workdir: pathlib.Path, log) -> State:
  """Trains to the end, from the newest checkpoint if there is one."""
  config, devices = experiment.config, parallel.mesh()
  parallel.check_batch_size(config.batch_size, devices)
  manager = checkpoint.manager(workdir / 'checkpoints')
  state = fresh_state(experiment)
  overview = parameter_overview.get_parameter_overview(state.params)
  if parallel.leads():
    (workdir / 'parameters.txt').write_text(f'{overview}\n')
  found = checkpoint.restore(manager, state)
  checkpoint.forget_after(manager, found[0] if found else -1)
  last = experiment.stage_ends[-1] if experiment.stage_ends else 0
  if found and found[0] >= last:
    print(f'already trained: {workdir}/checkpoints/{found[0]}', file=sys.stderr)
    return found[1]
  streams = {}
  for split in sorted({o.split for o in experiment.method.objectives.values()}):
    streams[split] = pipeline.training_stream(
      experiment.records(config.data[split]),
      config.batch_size,
      config.seed,
      jax.process_index(),
      jax.process_count(),
    )
  if found:
    step, state, positions = found
    print(f'resuming at step {step} of {last}', file=sys.stderr)
    for split, stream in streams.items():
      stream.set_state(positions[split])
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


def batches(experiment: Experiment, split: str) -> Iterator[dict[str, np.ndarray]]:
  """This host's padded batches of a split for evaluation, in order."""
  return pipeline.ordered_batches(
    experiment.records(split),
    experiment.config.batch_size,
    jax.process_index(),
    jax.process_count(),
  )


def painted(experiment: Experiment, split: str) -> Iterator[dict[str, np.ndarray]]:
  """Healthy batches with synthetic lesions of every painter, the same each time.

  Half of the shapes' soft values and more count as lesion. It serves to choose a map.
  """
  key = jax.random.key(0)
  every = tuple(synthetic_lesions.PAINTERS)
  paint = parallel.jit(functools.partial(synthetic_lesions.paint, painters=every))
  for index, batch in enumerate(batches(experiment, split)):
    image, shape = paint(jax.random.fold_in(key, index), batch['image'], batch['mask'])
    lesion = (np.asarray(shape) > 0.5).astype(np.float32) * batch['mask']
    pathology = np.full(len(lesion), PAINTED)
    yield {
      **batch,
      'image': np.asarray(image),
      'lesion': lesion,
      'pathology': pathology,
    }
