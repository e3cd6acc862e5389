"""Functions that create data sets, method, scorers and optimisers from a config.

Only this module and its callers read configs; the modules that it calls take keyword
arguments.
"""

import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from uad_jax import optimisers, parallel
from uad_jax.data import mixing, pipeline
from uad_jax.datasets import catalogue, option_checks
from uad_jax.evaluation import painted_batches, run_options
from uad_jax.inference import Smoothed
from uad_jax.method import Key, Method, Scorer
from uad_jax.ops.choices import check_choice
from uad_jax.ops.limits import check_whole
from uad_jax.ops.residual_sign import POLARITIES
from uad_jax.registry import call, named, plain, polarity, takes, without


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


def make_builder(options: Mapping[str, Any], kept: str = '') -> Any:
  """Makes the TFDS builder of a data set, but does not prepare its data yet.

  Args:
    options: 'name' of the data set, 'dir' (folder of its prepared data), and the
      options of its `open_builder`.
    kept: For a run that continues, 'data' of its model.json: names of its prepared
      data, which are used even if their source has changed; '' for a new run.
  """
  name, settings = options['name'], without(options, 'name', 'dir')
  data_dir = pathlib.Path(options['dir']).resolve()
  make = catalogue.module(name).open_builder
  builder = call(f"dataset '{name}'", make, settings, data_dir=data_dir)
  # Simulated data have no source that could change.
  return builder.up_to_date(kept) if hasattr(builder, 'up_to_date') else builder


def prepare(builder: Any) -> None:
  """Prepares the data of a TFDS builder on disk, unless they are prepared already.

  In a distributed job the first host prepares them, and the others wait for it.
  """
  if parallel.leads():
    builder.download_and_prepare()
  parallel.wait()
  if not parallel.leads():  # which may not see the same disk
    builder.download_and_prepare()


def open_data(data: ConfigDict, kept: str = '') -> dict[str, Any]:
  """Opens every data set used in the splits of a config and prepares missing ones.

  Args:
    data: `config.data`.
    kept: As for `make_builder`.

  Returns:
    TFDS builders by name of the data set.
  """
  builders = make_builders(plain(data), kept)
  for builder in builders.values():
    prepare(builder)
  return builders


def make_builders(data: Mapping[str, Any], kept: str = '') -> dict[str, Any]:
  """Makes the TFDS builders of an experiment and checks that they have its splits.

  The test split is not needed to train.

  Args:
    data: `config.data` in the form that `plain` returns.
    kept: As for `make_builder`.

  Raises:
    ValueError: An option of a data set is not possible, a split is missing, or the data
      sets have images of different shapes.
  """
  option_checks.check(data)
  chosen = mixing.chosen(data)
  builders = {name: make_builder(options, kept) for name, options in chosen.items()}
  mixing.check_agreement(builders)
  option_checks.check_splits(builders, without(mixing.splits(data), 'test'))
  return builders


def make_method(config: ConfigDict, shape: tuple[int, ...], channels: int) -> Method:
  """Creates the method of a config, modified by the adaptations that the config lists.

  An adaptation is a function that changes a method, for example averages parameters.
  A method with the option `polarity` gets that of the data (`registry.polarity`).

  Args:
    config: Config of an experiment.
    shape: Spatial shape of the images.
    channels: Number of channels (MRI contrasts).
  """
  name, options = config.method.name, without(config.method, 'name')
  make = named('methods', name)
  if takes(make, 'polarity'):
    options = {'polarity': polarity(config.get('data', {}))} | options
  sizes = {'shape': tuple(shape), 'channels': channels}
  method = call(f"method '{name}'", make, options, **sizes)
  for name, options in config.adapt.items():
    method = call(f"adaptation '{name}'", named('adapt', name), options)(method)
  return method


def make_scorers(config: ConfigDict) -> dict[str, Scorer]:
  """Creates every scorer listed in `config.scores`, under the same key.

  If a scorer has the option `sign` and its entry does not set it, it gets the sign of
  the data's polarity. Each SIZE in `config.medians` adds, for every KEY, the scorer
  KEY_medianSIZE, which applies a median filter to the maps.
  """
  of_data = polarity(config.get('data', {}))
  sign = {} if of_data == 'both' else {'sign': POLARITIES[of_data]}

  def scorer(options: ConfigDict) -> Scorer:
    make = named('scores', options.scorer)
    fixed = sign if takes(make, 'sign') else {}
    chosen = fixed | without(options, 'scorer')
    return call(f"scorer '{options.scorer}'", make, chosen)

  rows = {row: scorer(options) for row, options in config.scores.items()}
  return rows | {
    f'{row}_median{size}': Smoothed(made, size)
    for size in config.get('medians', ())
    for row, made in rows.items()
  }


def make_optimisers(config: ConfigDict, method: Method) -> dict[str, Any]:
  """Creates one optimiser for each objective whose loss trains a network.

  The result is a dict by objective name.

  Raises:
    ValueError: `config.steps` lacks the stage of an objective, or `config.optimisers`
      names an objective that the method does not have.
  """
  for name in config.optimisers:
    check_choice('objective', name, method.objectives, 'config.optimisers')
  tx = {}
  for name, objective in method.objectives.items():
    if objective.stage >= len(config.steps):
      raise ValueError(
        f"config.steps has {len(config.steps)} stages, but objective '{name}' belongs "
        f'to stage {objective.stage}'
      )
    if objective.trains:
      check_whole(f'config.steps[{objective.stage}]', config.steps[objective.stage], 1)
      moves = -(-config.steps[objective.stage] // objective.every)
      options = {**config.optimiser, **config.optimisers.get(name, {})}
      tx[name] = call('optimiser', optimisers.make, options, steps=moves)
  return tx


def build(config: ConfigDict, kept: str = '') -> Experiment:
  """Creates the experiment of a config (see `plan`) and prepares missing data sets."""
  experiment = plan(config, kept)
  for builder in experiment.builders.values():
    prepare(builder)
  return experiment


def plan(config: ConfigDict, kept: str = '') -> Experiment:
  """Creates the experiment described by a config, without preparing its data sets.

  All options are checked here, before any work.

  Args:
    config: Config of an experiment.
    kept: As for `make_builder`.

  Raises:
    ValueError: An option is unknown, missing or not possible.
  """
  settings = plain(config)
  run_options.check(settings)
  builders = make_builders(settings['data'], kept)
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
  """Yields the batches of a healthy data split with synthetic lesions inserted.

  They serve to choose the default anomaly map. See `painted_batches`.
  """
  return painted_batches.painted(
    batches(experiment, split), polarity(experiment.config.data)
  )
