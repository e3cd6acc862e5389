"""Functions that choose data set, split and options to evaluate a trained model."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from uad_jax.datasets import catalogue

FOLDER, PICTURES = 'nifti_folder', 'image_folder'
"""Data sets of a folder of NIfTI files, and of 2-D images."""

EVERY = {'test': 1.0}
"""Split fractions of a folder whose table of subjects names no splits."""

INSERTED, TWINS = 'lesion_cohort', 'derivatives/twin'
"""Layout of a folder of scans with inserted lesions, and its folder of the twins."""


class EvaluationData(NamedTuple):
  """Data set, split and options for the evaluation of a trained model.

  Attributes:
    label: Short name, for folders and tables.
    split: Name of the split that is tested.
    options: Options of the data set as in `config.data`: 'name', 'dir' and those of
      this data set.
  """

  label: str
  split: str
  options: dict[str, Any]


def evaluation_data(
  where: str,
  training: Mapping[str, Any],
  steps: Sequence,
  changes: Mapping[str, Any],
) -> EvaluationData:
  """Returns data set, split and options for the evaluation of a trained model.

  Preprocessing and other options are taken from the training run where they fit.

  Args:
    where: Data set, 'NAME' or 'NAME/SPLIT', or a folder of NIfTI files (of pictures, if
      the model was trained on such); the split is 'test' unless named.
    training: `config.data` of the run, as a plain mapping.
    steps: Preprocessing steps of the run, as model.json holds them.
    changes: Options of the data set that replace those taken from the run; 'split'
      among them names the split.

  Raises:
    ValueError: There is neither such a data set nor such a folder.
  """
  name, _, named = where.partition('/')
  if pathlib.Path(where).is_dir():
    name = PICTURES if training['name'] == PICTURES else FOLDER
    named, label = '', pathlib.Path(where).resolve().name
    options = {'source': where, 'fractions': EVERY, 'steps': steps}
    options |= shared(training, name, 'layout', 'patterns')
    if options.get('layout') == INSERTED:
      options |= _inserted(pathlib.Path(where), options.get('patterns', {}))
  elif name not in catalogue.names():
    raise ValueError(
      f"--evaluate: '{where}' is neither a folder nor a data set; there are "
      f'{", ".join(catalogue.names())}'
    )
  elif name in [cohort.name for cohort in catalogue.cohorts()]:
    label, options = name, {'steps': steps}
    if training.get('contrast') in catalogue.cohort(name).contrasts:
      options['contrast'] = training['contrast']
  else:
    label, options = name, shared(training, name, 'config', 'source', 'layout')
  changes = dict(changes)
  split = changes.pop('split', named) or 'test'
  options = {'name': name, 'dir': training['dir'], **options, **changes}
  return EvaluationData(label, split, options)


def _inserted(folder: pathlib.Path, patterns: Mapping[str, Any]) -> dict[str, Any]:
  """Layout of a folder that may have been written by `prepare lesions`."""
  if not (folder / TWINS).is_dir():
    others = {name: value for name, value in patterns.items() if name != 'labelled'}
    return {'layout': 'bids'} | ({'patterns': others} if patterns else {})
  labelled = (folder / 'derivatives/labels').is_dir()
  return {} if labelled else {'patterns': {'labelled': False}}


def shared(training: Mapping[str, Any], name: str, *options: str) -> dict[str, Any]:
  """Returns the options of the training data that also hold for the evaluation data.

  Args:
    training: `config.data` of the training run.
    name: Name of the data set to evaluate on.
    *options: Names of the options to return.

  Returns:
    Values by option; {} if the model was trained on another data set.
  """
  alike = training['name'] == name
  return {key: training[key] for key in options if alike and key in training}
