"""Functions that open a finished run and infer scans for the blind-spot study."""

import itertools
import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from uad_jax import experiment, parallel, prepared_data
from uad_jax.data import mixing, pipeline, reading
from uad_jax.domain_shift.statistics import LIKELIHOODS
from uad_jax.evaluation import evaluated_step
from uad_jax.evaluation.measure import MAP
from uad_jax.evaluation.postprocess import Postprocess, preset
from uad_jax.evaluation.scans import Scan, assemble, rows, scan_name
from uad_jax.few_shot import source_run
from uad_jax.inference import Inference, inferred, placed, remembered
from uad_jax.method import Key, Method, Params, Scorer, Stats, bind
from uad_jax.ops.choices import check_choice
from uad_jax.other_cohort import open_other
from uad_jax.progress import progress
from uad_jax.trained_run import OpenRun, open_run, require_json

CODE, ERROR = 'pooled_code', 'error'
"""Arrays made for each image: the mean of the latent code over its grid [B, F], and
|image - reconstruction| [B, *S, C]."""

PERCENT = 5
"""Threshold of the marked voxels: percentage of healthy voxels above it."""


class StudiedRun(NamedTuple):
  """Finished run with the inference and the threshold of the study.

  Attributes:
    opened: Config, model card, method and trained state.
    infer: Compiled inference, from `make_infer`.
    params: Parameters, on the devices.
    stats: Statistics, on the devices.
    key: Random key of the evaluation.
    scorer: Name of the anomaly map.
    threshold: Score that 5 % of the voxels of healthy scans of the source reach.
    chain: Post-processing of the evaluation, applied before the threshold.
  """

  opened: OpenRun
  infer: Inference
  params: Params
  stats: Stats
  key: Key
  scorer: str
  threshold: float
  chain: Postprocess


def make_infer(method: Method, name: str, scorer: Scorer) -> Inference:
  """Compiles the inference of the arrays that the study measures.

  They are the anomaly map 'map/NAME', `ERROR`, `CODE` and the likelihoods
  (`LIKELIHOODS`), as far as the method has them.

  Args:
    method: Method to infer with.
    name: Name of the anomaly map.
    scorer: Scorer that makes it.
  """

  @parallel.jit
  def maps(params, stats, batch, key):
    infer = remembered(bind(method, params, stats))
    arrays = {MAP + name: scorer(infer, batch, key)}
    outputs = infer(batch, key)
    if 'reconstruction' in outputs:
      arrays[ERROR] = jnp.abs(batch['image'] - outputs['reconstruction'])
    if 'latent' in outputs:
      code = outputs['latent'].astype(jnp.float32)
      arrays[CODE] = code.reshape(len(code), -1, code.shape[-1]).mean(1)
    return arrays | {name: outputs[name] for name in LIKELIHOODS if name in outputs}

  return Inference(maps, lambda *_: {})


def open_studied(folder: pathlib.Path, scorer: str = '') -> StudiedRun:
  """Loads a finished run, with its threshold for scans that come without brain masks.

  Args:
    folder: Run folder.
    scorer: Name of the anomaly map to study; the default map of the run if empty.

  Raises:
    FileNotFoundError: The folder lacks a file, or holds no checkpoint to read.
    ValueError: The thresholds of the run belong to another checkpoint, or it has no
      such map.
  """
  opened = open_run(folder)
  results = require_json(folder / 'results.json', 'the thresholds')
  evaluated_step.check(folder, results, int(opened.state.step))
  decisions = source_run.decisions({'run': str(folder), 'thresholds': 'source'})
  name, scorers = scorer or decisions.default, experiment.make_scorers(opened.config)
  check_choice('--scorer', name, scorers)
  return StudiedRun(
    opened,
    make_infer(opened.method, name, scorers[name]),
    *placed(opened.state.params, opened.state.stats),
    experiment.evaluation_key(opened.config),
    name,
    float(decisions.thresholds[name][PERCENT]),
    preset(results['protocol']['postprocess']),
  )


def open_scans(
  opened: OpenRun, where: str, changes: Mapping[str, Any] | None = None
) -> tuple[Callable[[str], Sequence], str]:
  """Prepares scans as the run's training scans were.

  Args:
    opened: Finished run.
    where: Folder of NIfTI files with a table of subjects that names splits, or a data
      set, 'NAME' or 'NAME/SPLIT'.
    changes: Options that replace those of the data set; see `evaluation_data`.

  Returns:
    Function from the name of a split to its records; the split that is named, 'test'
    by default.

  Raises:
    ValueError: There are no such scans, or the images have another shape.
  """
  named, builder = open_other(opened, where, changes or {}, '--study')
  prepared_data.prepare(builder)
  return mixing.reader({mixing.HOME: builder}), named.split


def batches(
  run: StudiedRun, records: Sequence, names: Iterable[str] | None = None
) -> Iterator[dict[str, np.ndarray]]:
  """Yields evaluation batches of a split, in order.

  Args:
    run: Finished run, whose batch size is used.
    records: Records of the split.
    names: Names of the scans to keep (`scan_name`); None keeps all.
  """
  if names is not None:
    kept = set(names)
    indices = [i for i in range(len(records)) if scan_name(records[i]) in kept]
    records = reading.Subset(records, indices)
  return pipeline.ordered_batches(records, run.opened.config.batch_size)


def inferred_scans(
  run: StudiedRun, source: Iterable[Mapping], label: str
) -> Iterator[tuple[Scan, dict[str, np.ndarray]]]:
  """Infers batches and yields each scan with the outputs that have no spatial axes.

  Args:
    run: Finished run.
    source: Batches from `batches`.
    label: Name of the work in the progress line.

  Yields:
    Scan with `MAP` and `ERROR` among its arrays; likelihoods [N] and `CODE` [N, F] of
    its N slices (1 for a volume).
  """
  shown = progress(source, label)
  outputs = inferred(shown, run.infer, run.params, run.stats, run.key, {}, False)
  for _, group in itertools.groupby(rows(outputs), scan_name):
    records = list(group)
    names = [name for name in (*LIKELIHOODS, CODE) if name in records[0]]
    yield (
      assemble(records),
      {name: np.stack([record[name] for record in records]) for name in names},
    )
