"""Functions that open and check the target scans to which a trained run is adapted."""

import pathlib
from collections.abc import Mapping
from typing import Any

from uad_jax.data import reading
from uad_jax.datasets.evaluation_data import INSERTED, TWINS, EvaluationData
from uad_jax.few_shot.source_run import MASKS
from uad_jax.method import TARGET
from uad_jax.other_cohort import open_other
from uad_jax.registry import plain, without
from uad_jax.trained_run import OpenRun, require_json


def matched_steps(opened: OpenRun) -> list:
  """Appends to a run's preprocessing a step that matches the histogram of its scans.

  The reference are the mean quantiles of its healthy validation scans.

  Args:
    opened: Source run.

  Raises:
    ValueError: The results of the run do not hold these quantiles.
  """
  results = require_json(opened.folder / 'results.json', 'the thresholds')
  landmarks = results.get('healthy_validation', {}).get('landmarks')
  if not landmarks:
    raise ValueError(
      f'{opened.folder}/results.json has no quantiles of the healthy scans; delete it '
      'and repeat the command of the run, which evaluates it again'
    )
  match = {'how': 'histogram_match', 'reference': landmarks}
  return [*opened.card['steps'], ['intensity', match]]


def with_estimated_masks(
  data: Mapping[str, Any], where: str, changes: Mapping[str, Any]
) -> dict[str, Any]:
  """Leaves out the files of brain masks in options of a folder, unless they are named.

  A folder would else be searched by the file patterns of the run, those of brain masks
  and labels included.

  Args:
    data: `config.data` of the run, as a plain mapping.
    where: Data set or folder.
    changes: Options of the data set, see `evaluation_data`.

  Returns:
    The options, with 'patterns' if the run has some.
  """
  layout = changes.get('layout', data.get('layout'))
  inserted = layout == INSERTED and (pathlib.Path(where) / TWINS).is_dir()
  known, labelled = data.get('patterns') or {}, {'labelled': False} if inserted else {}
  if not pathlib.Path(where).is_dir() or not (known or labelled):
    return dict(changes)
  return {'patterns': without(known, *MASKS, 'labelled') | labelled, **changes}


def target_data(
  opened: OpenRun, where: str, changes: Mapping[str, Any], match: bool
) -> tuple[EvaluationData, Any]:
  """Returns the target data set with its options and TFDS builder, not yet prepared.

  The brain masks of a folder are estimated, as `predict` does, unless `changes` names
  patterns of their files.

  Args:
    opened: Source run.
    where: Data set or folder of the target scans.
    changes: Options of the data set, see `evaluation_data`.
    match: Match the histograms to those of the source run.

  Raises:
    ValueError: There is no such data set, or its images have another shape.
  """
  steps = matched_steps(opened) if match else None
  changes = with_estimated_masks(plain(opened.config.data), where, changes)
  target, builder = open_other(opened, where, changes, '--source', steps)
  named = 'split' in changes or ('/' in where and not pathlib.Path(where).is_dir())
  if not named and not is_unsplit(builder.planned_splits()):
    target = target._replace(split=TARGET)
  return target, builder


def is_unsplit(counts: Mapping[str, int]) -> bool:
  """Returns whether all scans of a data set are in the split 'test'.

  So are those of a folder whose table of subjects names no splits.

  Args:
    counts: Number of scans by split.
  """
  return set(counts) == {'test'}


def check_target(records: reading.Records, where: str) -> None:
  """Checks that target scans can be adapted to: several slices, and no lesions.

  Args:
    records: Records (slices or volumes) of the target scans.
    where: Their folder or data set, for the error message.

  Raises:
    ValueError: There is a single slice, or a scan has a lesion mask.
  """
  if len(records) < 2 and records[0]['mask'].ndim == 3:
    raise ValueError(
      f'{where} holds one slice for the adaptation; allowed are two or more'
    )
  rows = (records[i] for i in range(len(records)))
  sick = sorted({row['subject'] for row in rows if row['lesion'].any()})
  if sick:
    raise ValueError(
      f'{where} has lesion masks in {len(sick)} subjects that the model would be '
      f'adapted to, such as {sick[0]}; allowed are healthy scans, or '
      '--allow_lesions'
    )


def test_split(counts: Mapping[str, int], target: EvaluationData) -> str:
  """Returns the split to evaluate: 'test' where there is one, else the target scans."""
  return 'test' if counts.get('test') and target.split != 'test' else target.split
