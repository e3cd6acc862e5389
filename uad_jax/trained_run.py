"""A trained run, opened and applied to arrays on its own grid."""

import functools
import json
import os
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from uad_jax import checkpoint, experiment, parallel
from uad_jax.data import record
from uad_jax.data.preprocessing import preprocess
from uad_jax.method import Method, State, bind, init_state

BATCH = 16
SHOWN = ('reconstruction', 'gate')
"""Outputs that are given beside the anomaly map, where the method has them."""


class TrainedRun(NamedTuple):
  """A trained run, ready to be applied."""

  infer: Callable[[Mapping, jax.Array], dict[str, jax.Array]]
  steps: preprocess.Steps
  shape: tuple[int, ...]
  scorer: str
  thresholds: dict[str, float]
  postprocess: str
  folder: pathlib.Path


def read_json(path: pathlib.Path, what: str) -> dict:
  """The content of a file of a run folder, or one sentence."""
  if not path.is_file():
    raise FileNotFoundError(
      f'{path.parent} has no {path.name} ({what}); --checkpoint takes the --workdir of '
      'a finished uad_jax.main'
    )
  return json.loads(path.read_text())


def model_of(folder: pathlib.Path) -> dict:
  """The model card of a run, `experiment.model_card`."""
  return read_json(folder / 'model.json', 'the shape and preprocessing')


def restored(folder: pathlib.Path, config: ConfigDict) -> tuple[Method, State]:
  """A run's method and the state of its newest checkpoint; no data are opened."""
  model = model_of(folder)
  shape = tuple(model['shape'])
  method = experiment.make_method(config, shape, model['channels'])
  tx = experiment.make_optimisers(config, method)
  array = np.zeros((2, *shape, model['channels']), np.float32)
  batch = {
    'image': array,
    'mask': array[..., :1],
    'position': np.zeros(2, np.float32),
    'weight': np.ones(2, np.float32),
  }
  start = functools.partial(init_state, method, tx, batch=batch)
  shapes = jax.eval_shape(start, jax.random.key(0))
  state = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
  found = checkpoint.restore(checkpoint.manager(folder / 'checkpoints'), state)
  if found is None:
    raise FileNotFoundError(f'{folder}/checkpoints holds no checkpoint to read')
  return method, found[1]


def load(run: str | os.PathLike, scorer: str | None = None) -> TrainedRun:
  """Opens a run folder: newest checkpoint, preprocessing, default map, thresholds.

  Args:
    run: The workdir of a finished main job.
    scorer: Another map of the run than its default.
  """
  folder = pathlib.Path(run)
  config = ConfigDict(read_json(folder / 'config.json', 'the config'))
  model = model_of(folder)
  results = read_json(folder / 'results.json', 'the thresholds')
  scorer = scorer or results['default']
  if scorer not in results['scorers']:
    raise ValueError(
      f"run {folder} has no map '{scorer}'; there are {', '.join(results['scorers'])}"
    )
  score = experiment.make_scorers(config)[scorer]
  method, state = restored(folder, config)

  @parallel.jit
  def infer(params, stats, batch, key):
    bound = bind(method, params, stats)
    outputs = bound(batch, key)
    shown = {name: outputs[name] for name in SHOWN if name in outputs}
    return {'anomaly': score(bound, batch, key), **shown}

  return TrainedRun(
    functools.partial(infer, state.params, state.stats),
    tuple((name, dict(options)) for name, options in model['steps']),
    tuple(model['shape']),
    scorer,
    results['scorers'][scorer]['thresholds'],
    results['protocol']['postprocess'],
    folder,
  )


def batches(
  prepared: preprocess.Prepared, planar: bool
) -> Iterator[tuple[list[int], dict[str, np.ndarray]]]:
  """(indices, batch) pairs of one size over the chosen slices, or the whole volume."""
  image, mask = prepared.image, prepared.mask.astype(np.float32)
  if not planar:
    batch = {'image': image[None], 'mask': mask[None]}
    batch['position'] = np.full(1, 0.5, np.float32)
    yield [0], batch | {'weight': np.ones(1, np.float32)}
    return
  chosen = list(prepared.slices)
  for start in range(0, len(chosen), BATCH):
    indices = chosen[start : start + BATCH]
    filled = (indices + [indices[-1]] * BATCH)[:BATCH]
    heights = [record.slice_height(k, image.shape[2]) for k in filled]
    yield (
      indices,
      {
        'image': np.stack([image[:, :, k] for k in filled]),
        'mask': np.stack([mask[:, :, k] for k in filled]),
        'position': np.array(heights, np.float32),
        'weight': (np.arange(BATCH) < len(indices)).astype(np.float32),
      },
    )


def maps_of(prepared: preprocess.Prepared, run: TrainedRun) -> dict[str, np.ndarray]:
  """The run's maps on the prepared grid, [X, Y, Z]; 0 in slices not chosen."""
  planar = len(run.shape) == 2
  maps = {}
  for number, (indices, batch) in enumerate(batches(prepared, planar)):
    key = jax.random.fold_in(jax.random.key(0), number)
    for name, value in jax.device_get(run.infer(batch, key)).items():
      volume = maps.setdefault(name, np.zeros(prepared.image.shape[:3], np.float32))
      if planar:
        volume[:, :, indices] = np.moveaxis(value[: len(indices), ..., 0], 0, -1)
      else:
        volume[:] = value[0, ..., 0]
  return maps
