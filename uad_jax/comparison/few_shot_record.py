"""Functions that read the record of an adaptation to target scans from its evaluations.

A trial is one adaptation to k target subjects, drawn by a seed. The record of a trial
holds, for the default anomaly map of the source run:

  method, seed, adaptation, target, subjects (k), draw
  config   hash of the config of the adapted run
  scorer   name of the anomaly map
  marked   share of the brain at or above the threshold of 5 %, of each healthy target
           test scan
  auprc, dice   AUPRC and Dice at that threshold over the target test scans with a
           lesion, with 95 % intervals over subjects
  prevalence  share of lesion voxels in them
  source   AUPRC on the source test scans after the adaptation, likewise
  seconds  time of the whole trial
"""

import pathlib
from typing import Any, NamedTuple

import numpy as np

from uad_jax.comparison.record_lines import name_of
from uad_jax.evaluation import bootstrap
from uad_jax.evaluation.metrics import POOLED
from uad_jax.evaluation.sample import load, restrict
from uad_jax.evaluation.summary import plain_all
from uad_jax.registry import hashed
from uad_jax.report.atomic_files import read_json
from uad_jax.report.tables import Estimate

RESAMPLES = 2000
"""Number of resamples of the subjects for an interval."""

BARE = 'none'
"""Name of the trial without any adaptation."""


class Target(NamedTuple):
  """Scans of another scanner: for the adaptation, healthy test scans, and lesions.

  Attributes:
    name: Name in the tables.
    source: Folder with the splits 'few_shot' and 'test', some test scans with lesions.
    home: Folder of test scans of the training scanner, with lesions of the same kind.
  """

  name: str
  source: str
  home: str


class Trial(NamedTuple):
  """Adaptation to k subjects of a target.

  Attributes:
    adaptation: NAME or NAME:ARGUMENT of a config of configs/adapt, or `BARE`.
    subjects: Number k of target subjects; 0 for an adaptation that uses none.
    draw: Seed of the draw of the subjects.
  """

  adaptation: str
  subjects: int
  draw: int


def shares(folder: pathlib.Path, scorer: str) -> dict[str, float]:
  """Reads the share of the brain that was marked in each healthy test scan.

  Args:
    folder: Folder of an evaluation.
    scorer: Name of the anomaly map.

  Returns:
    Shares at the threshold of 5 %, by subject.
  """
  sample = load(folder / 'evaluation.npz')[scorer]
  healthy = ~sample.diseased
  values = sample.counts['fp_at_5'] / np.maximum(sample.counts['negatives'], 1)
  pairs = zip(sample.subjects[healthy], values[healthy], strict=True)
  return {str(subject): round(float(share), 5) for subject, share in pairs}


def on_lesion_scans(folder: pathlib.Path, scorer: str, metric: str) -> Estimate:
  """Computes a metric over the voxels of all test scans with a lesion.

  Healthy scans are left out, so that data sets with other shares of healthy scans have
  about the same prevalence.

  Args:
    folder: Folder of an evaluation.
    scorer: Name of the anomaly map.
    metric: Name from `metrics.POOLED`.

  Returns:
    The value with its 95 % interval over subjects.
  """
  sample = load(folder / 'evaluation.npz')[scorer]
  sick = restrict(sample, sample.diseased)
  drawn = bootstrap.weights(sick, RESAMPLES, 0)
  estimated = bootstrap.estimated({metric: POOLED[metric]}, sick, drawn)
  return plain_all(estimated)[metric]


def record_of(
  run: pathlib.Path,
  target: Target,
  trial: Trial,
  place: pathlib.Path,
  home: pathlib.Path,
  seconds: float,
) -> dict[str, Any]:
  """Reads the record of a trial from its evaluations.

  Args:
    run: Folder of the source run.
    target: Target scans.
    trial: Adaptation, number of subjects and draw.
    place: Folder of the evaluation on the target test scans.
    home: Folder of that on the source test scans.
    seconds: Time of the trial.
  """
  scorer = read_json(run / 'results.json')['default']
  config = read_json(run / 'config.json')
  return {
    'method': name_of(config),
    'seed': config['seed'],
    'adaptation': trial.adaptation,
    'target': target.name,
    'subjects': trial.subjects,
    'draw': trial.draw,
    'config': hashed(read_json(place / 'results.json')['run']['config']),
    'scorer': scorer,
    'marked': shares(place, scorer),
    'auprc': on_lesion_scans(place, scorer, 'auprc'),
    'dice': on_lesion_scans(place, scorer, 'dice_at_5'),
    'prevalence': on_lesion_scans(place, scorer, 'prevalence')['value'],
    'source': on_lesion_scans(home, scorer, 'auprc'),
    'seconds': seconds,
  }
