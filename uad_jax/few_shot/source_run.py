"""Functions that start a training from another run, to adapt its model to a scanner.

A config with the key `start` names the source run, whose parameters, statistics,
thresholds and default anomaly map are used:

  run         folder of the source run
  step        training step of its parameters
  thresholds  'source', those of the source run, or 'target', set on the target scans
"""

import pathlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from uad_jax.evaluation.decisions import BARE, Decisions, stored_decisions
from uad_jax.method import State
from uad_jax.ops.choices import check_choice
from uad_jax.report.atomic_files import read_json
from uad_jax.trained_run import open_run, require_json

THRESHOLDS = ('source', 'target')
"""Scans that may set the thresholds of an adapted run."""

MASKS = ('mask', 'labels')
"""File patterns of a data set that name its brain masks."""


def started(state: State, start: Mapping[str, Any]) -> State:
  """Replaces the initial parameters and statistics of a state by those of a source run.

  Entries that the source run does not have, such as the statistics of an adaptation,
  stay as they are.

  Args:
    state: State of step 0.
    start: `config.start`.

  Raises:
    ValueError: The source run is at another training step, or has networks of other
      sizes.
  """
  opened = open_run(start['run'])
  step = int(opened.state.step)
  if step != start['step']:
    raise ValueError(
      f'{start["run"]} is at training step {step}, and config.start.step is '
      f'{start["step"]}; adapt the run anew, into another --workdir'
    )
  return state.replace(
    params=merged(state.params, opened.state.params, 'params'),
    stats=merged(state.stats, opened.state.stats, 'stats'),
  )


def merged(new: Any, old: Any, path: str) -> Any:
  """Returns a tree of arrays with those entries replaced that another tree has.

  Args:
    new: Nested dicts of arrays.
    old: The other nested dicts.
    path: Place in the state, for the error message.

  Raises:
    ValueError: Two arrays at one place differ in shape.
  """
  if isinstance(new, Mapping):
    return {
      name: merged(value, old[name], f'{path}.{name}') if name in old else value
      for name, value in new.items()
    }
  if np.shape(new) != np.shape(old):
    raise ValueError(
      f'the source run has {path} of shape {np.shape(old)}; this config needs '
      f'{np.shape(new)}'
    )
  return old


def decisions(
  start: Mapping[str, Any] | None, data: Mapping[str, Any] = MappingProxyType({})
) -> Decisions | None:
  """Reads the thresholds and the default anomaly map of a source run.

  The brain masks of target scans are estimated, so that the thresholds for such scans
  are used where the source run has them, unless the target data name files of masks.
  With `start.thresholds` = 'target' they are left out (None), to be set on the target
  scans.

  Args:
    start: `config.start`; None for a run that has no source run.
    data: `config.data` of the adapted run.

  Raises:
    FileNotFoundError: The source run has no results.
    ValueError: `start.thresholds` is unknown.
  """
  if start is None:
    return None
  check_choice('thresholds', start['thresholds'], THRESHOLDS, 'config.start')
  folder = pathlib.Path(start['run'])
  results = require_json(folder / 'results.json', 'the thresholds')
  patterns = data.get('patterns') or {}
  from_files = any(patterns.get(name) for name in MASKS)
  stored = stored_decisions(results, {} if from_files else read_json(folder / BARE))
  return stored._replace(thresholds=None) if start['thresholds'] == 'target' else stored
