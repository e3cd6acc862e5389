"""Functions that compute the record of the blind-spot study for a run and a target.

A slice with a lesion is one that holds lesion voxels; healthy slices are those of
healthy scans. The record holds:

  method, seed, target
  config     hash of the config of the run
  scorer, threshold   anomaly map, and its score that 5 % of the voxels of
             healthy source scans reach
  reference  number of healthy source validation scans, to which scores are fitted
  n          [scans, slices] by group
  scans, slices   by score and comparison (`confusion.COMPARISONS`) the AUROC with its
             95 % interval over subjects
  shifted_scans   number of healthy source scans that the shifts are applied to
  shifted    by 'scans' or 'slices', score and shift (`shifts.SHIFTS`) the AUROC between
             healthy source scans and the same scans after the shift
  undefined  by 'scans' or 'slices' and score the number of examples that were left out,
             as a statistic is undefined for them
  marked     by group or shift the mean share of the brain at or above the threshold
  elbo       by group or shift the ELBO (or the likelihood of the codes) of each scan,
             nats per brain voxel, for the WAIC over seeds; {} if there is none
  seconds    time of the measurements of the source and of this target
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from uad_jax.comparison.blind_spot_run import StudiedRun
from uad_jax.comparison.blind_spot_scans import Example, MeasuredScan
from uad_jax.comparison.blind_spot_scores import likelihood, scores
from uad_jax.domain_shift import confusion
from uad_jax.domain_shift.confusion import HEALTHY_SOURCE, Group
from uad_jax.evaluation.bootstrap import mean_of
from uad_jax.evaluation.summary import plain
from uad_jax.report.tables import Estimate

RESAMPLES = {'scans': 1000, 'slices': 200}
"""Bootstrap resamples of the AUROC, by kind of example."""

Scans = Sequence[MeasuredScan]


class Source(NamedTuple):
  """Measured scans of the training scanner.

  Attributes:
    reference: Healthy validation scans, one a subject.
    floor: Lowest anomaly score of these, see `blind_spot_scans.measure`.
    groups: Healthy and lesion test scans by group.
    shifted: Healthy test scans after each shift, by its name.
    seconds: Time of the measurements.
  """

  reference: Scans
  floor: float
  groups: dict[str, Scans]
  shifted: dict[str, Scans]
  seconds: float


def examples(scans: Scans, level: str) -> list[Example]:
  """Lists scans or slices; of a scan with a lesion only the slices that hold it.

  Args:
    scans: Measured scans.
    level: 'scans' or 'slices'.
  """
  if level == 'scans':
    return [scan.whole for scan in scans]
  return [
    part
    for scan in scans
    for part in scan.slices
    if part.lesion or not scan.whole.lesion
  ]


def scored_groups(
  groups: Mapping[str, Scans], reference: Scans, level: str
) -> tuple[dict[str, dict[str, Group]], dict[str, int]]:
  """Computes the scores of all groups of scans.

  Args:
    groups: Measured scans by group or shift.
    reference: Healthy validation scans of the source.
    level: 'scans' or 'slices'.

  Returns:
    Groups by score and name, and the number of undefined examples by score.
  """
  healthy = examples(reference, level)
  table: dict[str, dict[str, Group]] = {}
  undefined: dict[str, int] = {}
  for name, scans in groups.items():
    members = examples(scans, level)
    subjects = np.array([member.subject for member in members])
    for score, values in scores(members, healthy).items():
      known = np.isfinite(values)
      table.setdefault(score, {})[name] = Group(values[known], subjects[known])
      undefined[score] = undefined.get(score, 0) + int((~known).sum())
  return table, {score: number for score, number in undefined.items() if number}


def marked_share(scans: Scans) -> Estimate:
  """Computes the mean share of marked brain, with its interval over subjects."""
  shares: dict[str, list[float]] = {}
  for scan in scans:
    shares.setdefault(scan.whole.subject, []).append(scan.marked)
  if not shares:
    return {'value': None, 'interval': [None, None]}
  return plain(mean_of([np.mean(part) for part in shares.values()]))


def likelihoods(scans: Scans) -> dict[str, float]:
  """Collects the likelihood of each scan by its name; {} if the method has none."""
  values = {scan.whole.scan: likelihood(scan.whole.statistics) for scan in scans}
  if any(value is None or not math.isfinite(value) for value in values.values()):
    return {}
  return {name: float(f'{value:.7g}') for name, value in values.items()}


def compared(source: Source, groups: Mapping[str, Scans], level: str) -> dict[str, Any]:
  """Computes the AUROCs of all comparisons and shifts for scans or slices.

  Args:
    source: Measured scans of the training scanner.
    groups: Measured scans by group, of source and target.
    level: 'scans' or 'slices'.

  Returns:
    'groups', 'shifted' and 'undefined', see the module docstring.
  """
  resamples = RESAMPLES[level]
  everything = {**groups, **source.shifted}
  table, undefined = scored_groups(everything, source.reference, level)
  confused, shifted = {}, {}
  for score, by_name in table.items():
    chosen = {name: by_name[name] for name in groups if name in by_name}
    confused[score] = {
      name: plain(interval)
      for name, interval in confusion.confusion(chosen, resamples).items()
    }
    healthy = by_name[HEALTHY_SOURCE]
    shifted[score] = {
      name: plain(confusion.auroc(healthy, by_name[name], resamples))
      for name in source.shifted
      if name in by_name
    }
  return {'groups': confused, 'shifted': shifted, 'undefined': undefined}


def record_of(
  run: StudiedRun, source: Source, groups: Mapping[str, Scans]
) -> dict[str, Any]:
  """Computes the numbers of a record, see the module docstring."""
  levels = {level: compared(source, groups, level) for level in RESAMPLES}
  everything = {**groups, **source.shifted}
  elbo = {name: likelihoods(scans) for name, scans in everything.items()}
  return {
    'threshold': run.threshold,
    'reference': len(source.reference),
    'n': {
      name: [len(examples(scans, level)) for level in RESAMPLES]
      for name, scans in groups.items()
    },
    **{level: numbers['groups'] for level, numbers in levels.items()},
    'shifted_scans': max(map(len, source.shifted.values())),
    'shifted': {level: numbers['shifted'] for level, numbers in levels.items()},
    'undefined': {level: numbers['undefined'] for level, numbers in levels.items()},
    'marked': {name: marked_share(scans) for name, scans in everything.items()},
    'elbo': elbo if any(elbo.values()) else {},
  }
