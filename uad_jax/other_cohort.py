"""Functions that evaluate a finished run on another data set than its own."""

import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax

from uad_jax import experiment, parallel, prepared_data, registry
from uad_jax.data import manifest, mixing, pipeline
from uad_jax.data.cohorts import versions
from uad_jax.datasets import option_checks
from uad_jax.datasets.evaluation_data import EvaluationData, evaluation_data
from uad_jax.evaluate import evaluate
from uad_jax.evaluation import evaluated_step
from uad_jax.evaluation.decisions import BARE, stored_decisions
from uad_jax.report import page, tables
from uad_jax.report.atomic_files import read_json
from uad_jax.trained_run import OpenRun, open_run, require_json


def masks_are_estimated(builder: Any, split: str) -> bool:
  """Returns whether the scans of a split have neither brain masks nor labels.

  Args:
    builder: TFDS builder of the data set.
    split: Name of the split.

  Returns:
    False also if the source of the data set is missing, or if it is simulated.
  """
  settings = getattr(builder, 'builder_config', None)
  source = getattr(settings, 'source', '')
  if not source or not versions.is_there(source):
    return False
  entries = [e for e in versions.entries_of(settings, source) if e.split == split]
  return not any(entry.mask or entry.labels for entry in entries)


def check_unseen(card: Mapping[str, Any], builder: Any, split: str) -> None:
  """Checks that a run was not adapted to the scans of a split.

  Args:
    card: Content of model.json; 'adapted_to' lists the scans that the run was adapted
      to, see `model_card.describe`.
    builder: TFDS builder of the data set, prepared.
    split: Split to evaluate.

  Raises:
    ValueError: A scan is one of them.
  """
  adapted_to = set(card.get('adapted_to', ()))
  if not adapted_to:
    return
  seen = sorted(
    volume['subject']
    for volume in manifest.read(builder.data_dir)['volumes']
    if volume['split'] == split and adapted_to & set(manifest.hashes(volume))
  )
  if seen:
    raise ValueError(
      f"the run was adapted to {len(seen)} scans of the split '{split}', such as "
      f'{seen[0]}; allowed are scans that it has not seen'
    )


def open_other(
  opened: OpenRun,
  where: str,
  changes: Mapping[str, Any],
  key: str,
  steps: Sequence | None = None,
) -> tuple[EvaluationData, Any]:
  """Opens another data set with the preprocessing of a run, but does not prepare it.

  Args:
    opened: Finished run.
    where: Name of a data set, or a folder; see `evaluation_data`.
    changes: Options that replace those of the data set; see `evaluation_data`.
    key: Flag that names the data set, for the error messages.
    steps: Preprocessing steps that replace those of the run.

  Returns:
    The data set with its options, and its TFDS builder.

  Raises:
    ValueError: There is no such data set, or its images have another shape.
  """
  training = registry.plain(opened.config)['data']
  steps = opened.card['steps'] if steps is None else steps
  other = evaluation_data(where, training, steps, changes)
  option_checks.check_data_set(other.options, key)
  builder = prepared_data.make_builder(other.options)
  there = tuple(builder.info.features['image'].shape)
  shape = (*opened.card['shape'], opened.card['channels'])
  if there != shape:
    raise ValueError(
      f'the images of {where} are {there} and those of the run {shape}; allowed is one '
      'shape with one number of channels'
    )
  return other, builder


def evaluated(
  run: str | os.PathLike, where: str, changes: Mapping[str, Any]
) -> pathlib.Path | None:
  """Evaluates a finished run on another data set.

  It uses the default anomaly map of the run and its thresholds, those for estimated
  brain masks where the data set has neither masks nor labels; the training data are not
  needed. The results and the report are written to the subfolder
  evaluations/NAME-FINGERPRINT of the run folder.

  Args:
    run: Run folder of a finished run.
    where: Name of a data set, or a folder; see `evaluation_data`.
    changes: Options that replace those of the data set; see `evaluation_data`.

  Returns:
    That subfolder; None on hosts other than the first.

  Raises:
    FileNotFoundError: The run folder lacks a file.
    ValueError: There is no such data set or split, its images have another shape, or
      the thresholds of the run belong to another checkpoint; or the run was adapted to
      some of these scans.
  """
  opened = open_run(run)
  config, folder = opened.config, opened.folder
  results = require_json(folder / 'results.json', 'the thresholds')
  evaluated_step.check(folder, results, int(opened.state.step))
  other, builder = open_other(opened, where, changes, '--evaluate')
  term = mixing.Term(mixing.HOME, other.split)
  option_checks.check_splits({mixing.HOME: builder}, {'test': (term,)})
  prepared_data.prepare(builder)
  check_unseen(opened.card, builder, other.split)
  bare = read_json(folder / BARE) if masks_are_estimated(builder, other.split) else {}
  decisions = stored_decisions(results, bare)
  records = mixing.reader({mixing.HOME: builder})(other.split)
  scorers = experiment.make_scorers(config)
  results = evaluate(
    opened.method,
    opened.state.params,
    opened.state.stats,
    {name: scorers[name] for name in decisions.thresholds},
    None,
    pipeline.ordered_batches(
      records, config.batch_size, jax.process_index(), jax.process_count()
    ),
    experiment.evaluation_key(config),
    postprocess=config.postprocess,
    decisions=decisions,
    resamples=config.resamples,
    progress=parallel.leads(),
  )
  if not parallel.leads():
    return None
  fingerprint = builder.digest()
  place = folder / 'evaluations' / f'{other.label}-{fingerprint[:12]}'
  title = f'{config.method.name} on {other.label}'
  settings = registry.plain(config)
  settings['data'] = {**other.options, 'test': other.split}
  results = evaluated_step.noted(results, int(opened.state.step))
  page.write(
    results, place, title=title, config=settings, seed=config.seed, manifest=fingerprint
  )
  return place


def evaluate_elsewhere(
  run: str | os.PathLike, where: str, changes: Mapping[str, Any]
) -> str:
  """Evaluates a finished run on another data set and formats the results.

  Arguments and errors are those of `evaluated`.

  Returns:
    The result table and the path of the report, as text; '' on hosts other than the
    first.
  """
  place = evaluated(run, where, changes)
  if place is None:
    return ''
  rows = tables.rows(read_json(place / 'results.json'))
  return f'{tables.text(rows)}\n\n{place / "report.html"}'
