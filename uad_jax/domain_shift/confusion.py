"""AUROC tables of the blind-spot study: which scans a score confuses with which.

Heer et al. (MIDL 2021) ask whether a score that detects lesions also fires at healthy
scans of another domain. Scores are one number for each scan or slice, high where it is
anomalous; scores that are low for atypical scans (ELBO, WAIC, DoSE) are given with a
minus.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from uad_jax.evaluation import bootstrap
from uad_jax.evaluation.bootstrap import Interval
from uad_jax.evaluation.metric_forms import separation
from uad_jax.evaluation.sample import Sample
from uad_jax.ops.choices import check_choice

HEALTHY_SOURCE, LESION_SOURCE = 'healthy source', 'lesion source'
HEALTHY_TARGET, LESION_TARGET = 'healthy target', 'lesion target'
GROUPS = (HEALTHY_SOURCE, LESION_SOURCE, HEALTHY_TARGET, LESION_TARGET)

COMPARISONS = {
  'shift': (HEALTHY_SOURCE, HEALTHY_TARGET),
  'lesion in source': (HEALTHY_SOURCE, LESION_SOURCE),
  'lesion in target': (HEALTHY_TARGET, LESION_TARGET),
  'shift against lesion': (LESION_SOURCE, HEALTHY_TARGET),
}
"""Pairs (negatives, positives) of groups by name. 'shift against lesion' is 0 for a
perfect detector of lesions, 1 for a perfect gate, and 0.5 for the blind spot: healthy
scans of the other domain look as anomalous as lesions."""


class Group(NamedTuple):
  """Scores of the scans or slices of one group.

  Attributes:
    scores: [n] scores, high where anomalous.
    subjects: [n] subject names; the scans of a subject are resampled together.
  """

  scores: np.ndarray
  subjects: np.ndarray


def auroc(
  negatives: Group, positives: Group, resamples: int = 1000, seed: int = 0
) -> Interval:
  """Computes the AUROC between two groups, with a bootstrap interval over subjects.

  It is the probability that a positive scores above a negative, ties count half.
  Subjects are resampled by `bootstrap.weights`: those with a positive apart from the
  others; a subject with scans in both groups keeps them together.

  Args:
    negatives: Scores that shall be low.
    positives: Scores that shall be high.
    resamples: Number of bootstrap resamples.
    seed: Seed of the resamples.

  Returns:
    AUROC with its 95 % interval; all nan if a group is empty.

  Raises:
    ValueError: A score is not finite, or scores and subjects differ in number.
  """
  for group in (negatives, positives):
    if np.shape(group.scores) != np.shape(group.subjects):
      raise ValueError(
        f'{np.size(group.scores)} scores and {np.size(group.subjects)} subjects; '
        'the numbers must be equal'
      )
    if not np.isfinite(group.scores).all():
      raise ValueError(
        f'{np.sum(~np.isfinite(group.scores))} of {np.size(group.scores)} scores are '
        'not finite; allowed are finite numbers'
      )
  if not len(negatives.scores) or not len(positives.scores):
    return Interval(np.nan, np.nan, np.nan)
  sample = _sample(negatives, positives)
  drawn = bootstrap.weights(sample, resamples, seed)
  return bootstrap.estimated({'auroc': separation('score')}, sample, drawn).interval(
    'auroc'
  )


def confusion(
  groups: Mapping[str, Group], resamples: int = 1000, seed: int = 0
) -> dict[str, Interval]:
  """Computes the AUROC of each comparison whose groups there are.

  Args:
    groups: Scores by name of the group, of `GROUPS`.
    resamples: Number of bootstrap resamples.
    seed: Seed of the resamples.

  Returns:
    AUROC with its 95 % interval, by name of the comparison (`COMPARISONS`).

  Raises:
    ValueError: A name is not one of `GROUPS`.
  """
  for name in groups:
    check_choice('group of scans', name, GROUPS)
  return {
    name: auroc(groups[low], groups[high], resamples, seed)
    for name, (low, high) in COMPARISONS.items()
    if low in groups and high in groups
  }


def _sample(negatives: Group, positives: Group) -> Sample:
  """Puts the scores of two groups into the form that `bootstrap` resamples."""
  sizes = len(negatives.scores), len(positives.scores)
  positive = np.repeat([False, True], sizes)
  counts = np.zeros((sum(sizes), 1))
  return Sample(
    subjects=np.concatenate([negatives.subjects, positives.subjects]),
    pathology=np.where(positive, 'positive', 'none'),
    diseased=positive,
    edges=np.zeros(1),
    healthy=counts,
    lesion=counts,
    counts={},
    values={'score': np.concatenate([negatives.scores, positives.scores])},
  )
