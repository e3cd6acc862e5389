"""Functions that create data sets, method, scorers and optimisers from a config.

Only this module and its callers read configs; the modules that it calls take keyword
arguments.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from uad_jax import optimisers
from uad_jax.data import mixing, pipeline, reading
from uad_jax.evaluation import painted_batches, run_options
from uad_jax.evaluation.changed_maps import Smoothed, Supported
from uad_jax.method import TARGET, Key, Method, Scorer, splits_of
from uad_jax.ops.choices import check_choice
from uad_jax.ops.limits import check_whole
from uad_jax.ops.residual_sign import POLARITIES
from uad_jax.prepared_data import make_builders, prepare
from uad_jax.registry import call, named, plain, polarity, takes, without
from uad_jax.update import on_target


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


def make_method(config: ConfigDict, shape: tuple[int, ...], channels: int) -> Method:
  """Creates the method of a config, modified by the adaptations that the config lists.

  An adaptation is a function that changes a method, for example averages parameters.
  A method with the option `polarity` gets that of the data (`registry.polarity`). With
  `config.few_shot` only the objectives that these adaptations add are trained.

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
  if config.get('few_shot') is not None:
    for name, options in config.few_shot.items():
      method = call(f"adaptation '{name}'", named('adapt', name), options)(method)
    method = on_target(method)
  for name, options in config.adapt.items():
    method = call(f"adaptation '{name}'", named('adapt', name), options)(method)
  return method


def make_scorers(config: ConfigDict) -> dict[str, Scorer]:
  """Creates every scorer listed in `config.scores`, under the same key.

  If a scorer has the option `sign` and its entry does not set it, it gets the sign of
  the data's polarity. Each SIZE in `config.medians` adds, for every KEY, the scorer
  KEY_medianSIZE, which applies a median filter to the maps. In runs that were adapted
  to target scans, voxels without support get the lowest score
  (`changed_maps.Supported`).
  """
  of_data = polarity(config.get('data', {}))
  sign = {} if of_data == 'both' else {'sign': POLARITIES[of_data]}

  def scorer(options: ConfigDict) -> Scorer:
    make = named('scores', options.scorer)
    fixed = sign if takes(make, 'sign') else {}
    chosen = fixed | without(options, 'scorer')
    return call(f"scorer '{options.scorer}'", make, chosen)

  rows = {row: scorer(options) for row, options in config.scores.items()}
  if config.get('few_shot') is not None:
    rows = {row: Supported(made) for row, made in rows.items()}
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


def training_splits(method: Method) -> list[str]:
  """Lists the splits that the training of a method reads, sorted by name."""
  objectives = method.objectives.values()
  return sorted({split for o in objectives for split in splits_of(o)})


def split_records(experiment: Experiment, split: str) -> Sequence:
  """Returns the records (slices or volumes) of a split, to train on.

  Of the split 'few_shot' only `config.data.shots` subjects are used, if that is set,
  drawn by the seed `config.data.draw`.

  Args:
    experiment: Experiment with prepared data.
    split: Key of `config.data`, such as 'train'.

  Raises:
    ValueError: The config does not name such a split, or it has fewer subjects.
  """
  data = experiment.config.data
  if not data.get(split):
    raise ValueError(
      f"the method trains on the split '{split}', which config.data does not name; "
      f'give the target scans by `uad_jax.adapt`, or set --config.data.{split}'
    )
  records = experiment.records(data[split])
  if split != TARGET or not data.get('shots'):
    return records
  return reading.of_subjects(records, data.shots, data.get('draw', 0))


def digest(experiment: Experiment) -> str:
  """Returns a fingerprint (hash) of the data sets of an experiment.

  Only runs with equal fingerprints may share a table.
  """
  return mixing.digest(experiment.builders, plain(experiment.config.data))


def evaluation_key(config: ConfigDict) -> Key:
  """Returns the random key (JAX) for the evaluation and the predictions of a run."""
  return jax.random.key(config.seed + 2)


def validation(experiment: Experiment) -> Iterator[dict[str, np.ndarray]]:
  """Reads the batches of healthy scans that set the thresholds of a run.

  They are those of `config.data.val`; of a run that was adapted to target scans, these.
  """
  if experiment.config.get('few_shot') is None:
    return batches(experiment, experiment.config.data.val)
  return _ordered(split_records(experiment, TARGET), experiment.config.batch_size)


def batches(experiment: Experiment, split: str) -> Iterator[dict[str, np.ndarray]]:
  """Reads the batches of a data split in order, for evaluation.

  Each host reads its part of the scans; the last batch is padded to the full size.
  """
  return _ordered(experiment.records(split), experiment.config.batch_size)


def _ordered(records: Sequence, size: int) -> Iterator[dict[str, np.ndarray]]:
  """Batches of this host's part of some records, in order."""
  hosts = jax.process_index(), jax.process_count()
  return pipeline.ordered_batches(records, size, *hosts)


def painted(experiment: Experiment, split: str) -> Iterator[dict[str, np.ndarray]]:
  """Yields the batches of a healthy data split with synthetic lesions inserted.

  They serve to choose the default anomaly map. See `painted_batches`.
  """
  return painted_batches.painted(
    batches(experiment, split), polarity(experiment.config.data)
  )
