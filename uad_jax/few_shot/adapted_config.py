"""Functions that build the config of an adapted run from its source and adaptation."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
from ml_collections import ConfigDict

from uad_jax import experiment, registry
from uad_jax.datasets.evaluation_data import EvaluationData
from uad_jax.method import Method
from uad_jax.trained_run import OpenRun
from uad_jax.update import example_shapes

ONE_PASS = 'one pass'
"""Value in the `steps` of an adaptation: as many steps as the target scans have
batches, times the passes that its fits need (`Objective.passes`)."""

SOURCE = 'source'
"""Name in `config.data.others` of the data set that the source run was trained on."""

AT_ONCE = 2**22
"""Largest number of voxels of a batch of all target scans: 1 024 slices of 64 x 64,
whose feature maps of 16 channels take 256 MiB."""

LASTING = {'channel_moments': None, 'voxel_moments': 'support'}
"""Adaptations that stay a part of the inference, which another one would replace; each
with the option that must be set for it, or None."""


def check_source(opened: OpenRun) -> None:
  """Checks that an adaptation keeps what earlier ones have made of the source run.

  Raises:
    ValueError: The source run was adapted by one of `LASTING`.
  """
  for name, options in opened.config.get('few_shot', {}).items():
    if name in LASTING and (LASTING[name] is None or options.get(LASTING[name])):
      raise ValueError(
        f'{opened.folder} was adapted by {name}, which another adaptation would undo; '
        f'adapt {opened.config.start.run}, from which it was made'
      )


def read_adaptation(name: str) -> ConfigDict:
  """Reads a shipped config of an adaptation.

  Args:
    name: NAME or NAME:ARGUMENT of a file of configs/adapt.

  Raises:
    FileNotFoundError: There is no such file.
  """
  file, _, argument = name.partition(':')
  folder = registry.config_path('vae').with_name('adapt')
  return registry.read_config(folder / f'{file}.py', argument)


def scores_of(settings: Mapping[str, Any], scorers: Sequence[str]) -> dict[str, Any]:
  """Returns the entries of `config.scores` that anomaly maps are made by.

  Args:
    settings: Config of the source run as plain dicts.
    scorers: Names of the maps, those with median filters included; none means all.
  """
  sizes = settings.get('medians', ())
  wanted = {
    scorer.removesuffix(f'_median{n}') for scorer in scorers for n in (*sizes, 0)
  }
  return {k: v for k, v in settings['scores'].items() if k in wanted or not scorers}


def batch_size_of(adaptation: ConfigDict, records: int) -> int:
  """Returns the batch size of an adaptation, which divides over the devices.

  It is at most that of the config. A last incomplete batch is filled up, see
  `data.whole_batches`, so that one pass sees each record once.

  Args:
    adaptation: Config of the adaptation.
    records: Number of target records.
  """
  size, devices = min(adaptation.batch_size, records), jax.device_count()
  return max(size - size % devices, devices)


def target_batch_size_of(
  adaptation: ConfigDict, records: int, shape: Sequence[int]
) -> int:
  """Returns the batch size in which the target scans are adapted to.

  It is that of `batch_size_of`, or the number of all records, rounded up to the
  devices, where the adaptation asks for it (`at_once`) and they hold at most `AT_ONCE`
  voxels.

  Args:
    adaptation: Config of the adaptation.
    records: Number of target records.
    shape: Spatial shape of an image.
  """
  devices = jax.device_count()
  if adaptation.get('at_once') and records * math.prod(shape) <= AT_ONCE:
    return -(-records // devices) * devices
  return batch_size_of(adaptation, records)


def steps_of(
  adaptation: ConfigDict, method: Method, shape: tuple[int, ...], batches: int
) -> tuple[int, ...]:
  """Returns the number of steps of each stage of an adaptation.

  Args:
    adaptation: Config of the adaptation.
    method: Method with the adaptation, whose fits may need several passes.
    shape: Shape of an image with its channels, (*S, C).
    batches: Number of batches of one pass over the target scans.
  """
  fits = [o for o in method.objectives.values() if o.passes]
  key, stats = jax.random.key(0), {}
  if fits:
    _, stats = jax.eval_shape(method.init, key, example_shapes(shape))
  steps = []
  for stage, number in enumerate(adaptation.steps):
    passes = max([1, *(o.passes(stats) for o in fits if o.stage == stage)])
    steps.append(passes * batches if number == ONE_PASS else number)
  return tuple(steps)


def adapted_config(
  opened: OpenRun,
  adaptation: ConfigDict,
  target: EvaluationData,
  test: str,
  records: int,
  shots: int | None,
  draw: int,
  scorers: Sequence[str] = (),
) -> ConfigDict:
  """Builds the config of an adapted run from those of its source and its adaptation.

  Args:
    opened: Source run.
    adaptation: Config of configs/adapt.
    target: Target data set.
    test: Split of it that is evaluated.
    records: Number of target records.
    shots: Number of subjects; None for all.
    draw: Seed of the draw of the subjects.
    scorers: Names of the anomaly maps to evaluate; all by default.
  """
  settings = registry.plain(opened.config)
  shape, channels = tuple(opened.card['shape']), opened.card['channels']
  size = batch_size_of(adaptation, records)
  target_size = target_batch_size_of(adaptation, records, shape)
  batches = -(-records // target_size)
  data = {
    **target.options,
    'train': target.split,
    'val': target.split,
    'few_shot': target.split,
    'test': test,
    'selection': '',
    'polarity': registry.polarity(settings['data']),
  }
  if shots is not None:
    data |= {'shots': shots, 'draw': draw}
  if adaptation.get('sees_source'):
    others = settings['data'].pop('others', {})
    data['others'] = {**others, SOURCE: settings['data']}
    data['train'] = f'{SOURCE}/{settings["data"]["train"]}'
  few_shot = {name: dict(options) for name, options in adaptation.few_shot.items()}
  for name, options in few_shot.items():
    if registry.takes(registry.named('adapt', name), 'batches'):
      options['batches'] = batches
  changes = {
    'data': data,
    'few_shot': few_shot,
    'start': {
      'run': str(opened.folder),
      'step': int(opened.state.step),
      'thresholds': adaptation.thresholds,
    },
    'batch_size': size,
    **({'target_batch_size': target_size} if target_size != size else {}),
    'optimiser': dict(adaptation.optimiser),
    'optimisers': {},
    'scores': scores_of(settings, scorers),
    'variants': {},
    'variant_scores': (),
    'log_every': 20,
  }
  config = ConfigDict({**settings, **changes})
  method = experiment.make_method(config, shape, channels)
  config.steps = steps_of(adaptation, method, (*shape, channels), batches)
  return config
