"""Functions that create data sets, method, scorers and optimisers from a config.

Only this module and its callers read configs; the modules that it calls take keyword
arguments.
"""

import functools
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from uad_jax import optimisers, parallel
from uad_jax.augmentation import synthetic_lesions
from uad_jax.data import manifest, mixing, pipeline
from uad_jax.data.mixing import PAINTED
from uad_jax.datasets import catalogue
from uad_jax.method import Key, Method, Scorer
from uad_jax.registry import call, named, plain, without


class Experiment(NamedTuple):
  """Data, method, scorers and optimisers of one config, ready for training.

  Attributes:
    config: Config that the rest was made from.
    builders: TFDS builders of the data sets by their name in the config's splits.
    records: (split expression) -> records (slices or volumes) of the split.
    method: Method with the adaptations of the config applied.
    variants: Entries added to every batch, by variant.
    scorers: Scorers by key of `config.scores`, each a row of the result table.
    tx: Optimisers by objective, for objectives that train a network.
    stage_ends: Step at which each training stage ends.
  """

  config: ConfigDict
  builders: dict[str, Any]
  records: Callable[[str], Sequence]
  method: Method
  variants: dict[str, dict[str, float]]
  scorers: dict[str, Scorer]
  tx: dict[str, Any]
  stage_ends: tuple[int, ...]


def make_builder(options: Mapping[str, Any]) -> Any:
  """Makes the TFDS builder of a data set, but does not prepare its data yet.

  Args:
    options: 'name' of the data set, 'dir' of the prepared data, and the options of the
      data set.
  """
  name, settings = options['name'], without(options, 'name', 'dir')
  data_dir = pathlib.Path(options['dir']).resolve()
  make = catalogue.module(name).open_builder
  return call(f"dataset '{name}'", make, settings, data_dir=data_dir)


def prepare(builder: Any) -> None:
  """Prepares the data of a TFDS builder on disk, unless they are prepared already.

  In a distributed job the first host prepares them, and the others wait for it.
  """
  if parallel.leads():
    builder.download_and_prepare()
  parallel.wait()
  if not parallel.leads():  # which may not see the same disk
    builder.download_and_prepare()


def open_data(data: ConfigDict) -> dict[str, Any]:
  """Opens every data set used in the splits of a config and prepares missing ones.

  Args:
    data: `config.data`.

  Returns:
    TFDS builders by name of the data set.
  """
  chosen = mixing.chosen(plain(data))
  builders = {name: make_builder(options) for name, options in chosen.items()}
  mixing.check_agreement(builders)
  for builder in builders.values():
    prepare(builder)
  return builders


def make_method(config: ConfigDict, shape: tuple[int, ...], channels: int) -> Method:
  """Creates the method of a config, modified by the adaptations that the config lists.

  An adaptation is a function that changes a method, for example averages parameters.

  Args:
    config: Config of an experiment.
    shape: Spatial shape of the images.
    channels: Number of channels (MRI contrasts).
  """
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
  """Creates every scorer listed in `config.scores`, under the same key."""
  return {
    row: call(
      f"scorer '{options.scorer}'",
      named('scores', options.scorer),
      without(options, 'scorer'),
    )
    for row, options in config.scores.items()
  }


def make_optimisers(config: ConfigDict, method: Method) -> dict[str, Any]:
  """Creates one optimiser for each objective whose loss trains a network.

  The result is a dict by objective name.

  Raises:
    ValueError: An objective belongs to a stage that `config.steps` lacks.
  """
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
  """Creates the experiment described by a config, preparing missing data sets first."""
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
  """Checks, before training, that every data split that the config names exists."""
  data = experiment.config.data
  names = {data[o.split] for o in experiment.method.objectives.values()}
  names |= {data.train, data.val, data.test, data.selection} - {PAINTED, ''}
  for name in sorted(names):
    experiment.records(name)


def model_card(experiment: Experiment) -> dict[str, Any]:
  """Returns a description of the data of an experiment, to be stored in model.json.

  Prediction and result tables read it. Its entries are the shape and channels of a
  record, the preprocessing steps, the distance between evaluated slices, names and
  fingerprint of the data sets, and the size of the training split.
  """
  builder = mixing.first(experiment.builders)
  *shape, channels = builder.info.features['image'].shape
  return {
    'shape': shape,
    'channels': channels,
    'steps': builder.scan_steps(),
    'slice_step': builder.slice_step(),
    'data': ' + '.join(b.info.full_name for b in experiment.builders.values()),
    'manifest': digest(experiment),
    'training': training_size(experiment),
  }


def training_size(experiment: Experiment) -> dict[str, int]:
  """Counts the subjects and the records (slices or volumes) of the training split."""
  split = experiment.config.data.train
  subjects = {
    (term.data, volume['subject'])
    for term in mixing.parse(split)
    for volume in manifest.read(experiment.builders[term.data].data_dir)['volumes']
    if volume['split'] == term.split
  }
  return {'subjects': len(subjects), 'records': len(experiment.records(split))}


def digest(experiment: Experiment) -> str:
  """Returns a fingerprint (hash) of the data sets of an experiment.

  Only runs with equal fingerprints may share a table.
  """
  return mixing.digest(experiment.builders, plain(experiment.config.data))


def evaluation_key(config: ConfigDict) -> Key:
  """Returns the random key (JAX) for the evaluation and the predictions of a run."""
  return jax.random.key(config.seed + 2)


def batches(experiment: Experiment, split: str) -> Iterator[dict[str, np.ndarray]]:
  """Reads the batches of a data split in order, for evaluation.

  Each host reads its part of the scans; the last batch is padded to the full size.
  """
  return pipeline.ordered_batches(
    experiment.records(split),
    experiment.config.batch_size,
    jax.process_index(),
    jax.process_count(),
  )


def painted(experiment: Experiment, split: str) -> Iterator[dict[str, np.ndarray]]:
  """Yields the batches of a split of healthy scans, with synthetic lesions inserted.

  The default anomaly map is chosen on them. Lesions of all kinds in
  `synthetic_lesions.PAINTERS` are sampled, the same at each call. A voxel counts as
  lesion if the soft lesion shape is above one half there.
  """
  key = jax.random.key(0)
  painters = tuple(synthetic_lesions.PAINTERS)
  paint = parallel.jit(functools.partial(synthetic_lesions.paint, painters=painters))
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
