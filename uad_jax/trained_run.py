"""Functions that load a trained run from its folder."""

import functools
import os
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from uad_jax import checkpoint, experiment
from uad_jax.data.preprocessing import preprocess
from uad_jax.evaluation import evaluated_step
from uad_jax.evaluation.postprocess import Postprocess, preset
from uad_jax.inference import Inference, make_infer, placed
from uad_jax.method import Key, Method, Params, State, Stats
from uad_jax.report import run_file_forms
from uad_jax.report.atomic_files import read_json
from uad_jax.update import example_shapes, init_state


class OpenRun(NamedTuple):
  """Content of a run folder: config, method and trained state, without the data.

  Attributes:
    folder: The run folder.
    config: Config of the training.
    card: Content of model.json (shape and preprocessing of the data), see
      `model_card.describe`.
    method: Method that the config describes.
    state: State of the newest checkpoint that can be read.
  """

  folder: pathlib.Path
  config: ConfigDict
  card: Mapping[str, Any]
  method: Method
  state: State


class TrainedRun(NamedTuple):
  """Trained method with one anomaly map and its thresholds, ready for prediction.

  Attributes:
    infer: Compiled inference of the anomaly map.
    params: Parameters, on the devices.
    stats: Statistics, on the devices.
    key: Random key of the evaluation.
    steps: Preprocessing steps of the training data.
    shape: Spatial shape of a record: two sizes for slices, three for volumes.
    slice_step: Distance between neighbouring slices of the evaluation, in slices of the
      prepared grid.
    batch_size: Number of records inferred at once.
    scorer: Name of the anomaly map.
    thresholds: Thresholds by percentage of healthy voxels above them: '1', '5', '10'.
    postprocess: Post-processing of the evaluation.
    folder: The run folder.
  """

  infer: Inference
  params: Params
  stats: Stats
  key: Key
  steps: preprocess.Steps
  shape: tuple[int, ...]
  slice_step: int
  batch_size: int
  scorer: str
  thresholds: dict[str, float]
  postprocess: Postprocess
  folder: pathlib.Path


def require_json(path: pathlib.Path, what: str) -> dict:
  """Reads a JSON file of a run folder, or raises an error if the file is missing.

  Args:
    path: The file.
    what: Content of the file, for the error message.

  Raises:
    FileNotFoundError: The file is missing.
    ValueError: The file is damaged, or lacks entries that a finished run has.
  """
  if not path.is_file():
    raise FileNotFoundError(
      f'{path.parent} has no {path.name} ({what}); --checkpoint takes the --workdir of '
      'a finished uad_jax.main'
    )
  return read_json(path, run_file_forms.USED.get(path.name, ()))


def open_run(run: str | os.PathLike) -> OpenRun:
  """Loads the config, the method and its trained state from a run folder.

  Args:
    run: Run folder, the workdir of uad_jax.main.

  Raises:
    FileNotFoundError: The folder lacks a file, or holds no checkpoint to read.
  """
  folder = pathlib.Path(run)
  config = ConfigDict(require_json(folder / 'config.json', 'the config'))
  card = require_json(folder / 'model.json', 'the shape and preprocessing')
  shape = tuple(card['shape'])
  method = experiment.make_method(config, shape, card['channels'])
  tx = experiment.make_optimisers(config, method)
  newest = newest_state(folder, method, tx, (*shape, card['channels']))
  if newest is None:
    raise FileNotFoundError(f'{folder}/checkpoints holds no checkpoint to read')
  return OpenRun(folder, config, card, method, newest[1])


def newest_state(
  folder: pathlib.Path, method: Method, tx: Mapping[str, Any], shape: tuple[int, ...]
) -> tuple[int, State] | None:
  """Loads the training state and step of the newest readable checkpoint of a run.

  Args:
    folder: The run folder.
    method: Method of the run.
    tx: Optimiser of each objective, by the objective's name.
    shape: Shape of an image, (*S, C), without the batch axis.

  Returns:
    Step and state; None if no checkpoint can be read.

  Raises:
    ValueError: The checkpoint belongs to another method or config.
  """
  start = functools.partial(init_state, method, tx)
  shapes = jax.eval_shape(start, jax.random.key(0), example_shapes(shape))
  like = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
  newest = checkpoint.restore(checkpoint.manager(folder / 'checkpoints'), like)
  return newest and newest[:2]


def load(run: str | os.PathLike, scorer: str | None = None) -> TrainedRun:
  """Loads trained method, preprocessing and thresholds of a finished run.

  Args:
    run: Run folder, the workdir of a finished uad_jax.main.
    scorer: Name of an anomaly map of the run; None for its default map.

  Raises:
    FileNotFoundError: The folder lacks a file, or holds no checkpoint to read.
    ValueError: The run has no such map, or its thresholds belong to another checkpoint.
  """
  folder = pathlib.Path(run)
  require_json(folder / 'config.json', 'the config')
  results = require_json(folder / 'results.json', 'the thresholds')
  scorer = scorer or results['default']
  if scorer not in results['scorers']:
    raise ValueError(
      f"run {folder} has no map '{scorer}'; there are {', '.join(results['scorers'])}"
    )
  opened = open_run(folder)
  evaluated_step.check(folder, results, int(opened.state.step))
  score = experiment.make_scorers(opened.config)[scorer]
  shape = tuple(opened.card['shape'])
  return TrainedRun(
    make_infer(opened.method, {scorer: score}),
    *placed(opened.state.params, opened.state.stats),
    experiment.evaluation_key(opened.config),
    tuple((name, dict(options)) for name, options in opened.card['steps']),
    shape,
    opened.card.get('slice_step', 1),
    opened.config.batch_size if len(shape) == 2 else 1,
    scorer,
    results['scorers'][scorer]['thresholds'],
    preset(results['protocol']['postprocess']),
    folder,
  )
