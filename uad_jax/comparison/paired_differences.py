"""Functions that compute paired differences of AUPRC between anomaly maps."""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from uad_jax.comparison.finished_runs import FinishedRun
from uad_jax.evaluation.bootstrap import Interval, paired
from uad_jax.evaluation.metrics import POOLED
from uad_jax.evaluation.sample import load
from uad_jax.report.tables import Estimate, markdown

DIGITS = 6  # decimals of a stored estimate


class Rival(NamedTuple):
  """AUPRC difference between an anomaly map of a run and one that it should outperform.

  The map that should be outperformed is called the rival. The difference is paired.

  Attributes:
    seed: Seed of both runs.
    map: Scorer of the run.
    against: Method or variant and scorer of the rival map, such as 'vae restoration'.
    gap: AUPRC of the run's map minus that of the rival map, with its interval.
  """

  seed: int
  map: str
  against: str
  gap: Estimate


def difference(
  a: FinishedRun, scorer_a: str, b: FinishedRun, scorer_b: str
) -> Interval:
  """Computes the difference of AUPRC between two anomaly maps, with a paired interval.

  The interval is from bootstrap resamples of the subjects, the same for both maps.

  Args:
    a: First run.
    scorer_a: Scorer of the first run.
    b: Second run, on the same test data; its AUPRC is subtracted.
    scorer_b: Scorer of the second run.
  """
  return paired(
    POOLED['auprc'],
    load(a.folder / 'evaluation.npz')[scorer_a],
    load(b.folder / 'evaluation.npz')[scorer_b],
  )


def estimate(interval: Sequence[float]) -> Estimate:
  """Converts a value and its confidence interval to a dict of rounded numbers for JSON.

  Args:
    interval: Value, low and high end; None, nan or inf if undefined.
  """
  value, low, high = (
    None if x is None or not np.isfinite(x) else round(float(x), DIGITS)
    for x in interval
  )
  return {'value': value, 'interval': [low, high]}


def signed(gap: Estimate) -> str:
  """Formats a difference with its interval as the text '+0.123 [+0.045, +0.200]'."""
  value, (low, high) = gap['value'], gap['interval']
  return f'{value:+.3f} [{low:+.3f}, {high:+.3f}]'


def side(interval: Sequence[float]) -> int:
  """Returns the side of 0 on which an interval lies, 1 or -1; 0 if it includes 0.

  Args:
    interval: Low and high end.

  Examples:
    >>> [side(ends) for ends in ((0.01, 0.05), (-0.03, 0.01), (-0.05, -0.01))]
    [1, 0, -1]
  """
  low, high = interval
  return 1 if low > 0 else -1 if high < 0 else 0


def auprc(run: FinishedRun, scorer: str) -> float:
  """Returns the AUPRC of a scorer over all test voxels, from the results of a run."""
  return run.summary['scorers'][scorer]['pooled']['auprc']['value']


def within_run(main: FinishedRun, runs: Sequence[FinishedRun]) -> list[Rival]:
  """Compares the AUPRC of a run with rival anomaly maps from the same training.

  The rivals are the run's own 'standardised_prior' (the residual to the prior image)
  and the best of its variants (uniform fields) by the scorer 'standardised' and by the
  run's default scorer.

  Args:
    main: The run.
    runs: All finished runs of the data set.

  Returns:
    Paired differences; none if `main` is a variant or has no variants.
  """
  by_training = defaultdict(list)
  for run in runs:
    by_training[run.name, run.seed].append(run)
  uniform = [run for run in by_training[main.name, main.seed] if run.variant]
  if main.variant or not uniform:
    return []
  rivals = []

  def meet(ours, other, name, theirs):
    """Adds the difference between scorer `ours` of the run and scorer `theirs`."""
    gap = estimate(difference(main, ours, other, theirs))
    rivals.append(Rival(main.seed, ours, f'{name} {theirs}', gap))

  for ours in dict.fromkeys((main.default, 'standardised')):
    if ours != 'standardised_prior':
      meet(ours, main, 'own', 'standardised_prior')
    for theirs in dict.fromkeys(('standardised', ours)):
      candidates = [run for run in uniform if theirs in run.summary['scorers']]
      if candidates:
        best = max(candidates, key=lambda run: auprc(run, theirs))
        meet(ours, best, best.variant, theirs)
  return rivals


def table(rivals: Sequence[tuple[str, Rival]]) -> str:
  """Renders a Markdown table of paired differences of AUPRC; '' if there are none.

  Args:
    rivals: Pairs of method name and difference.
  """
  if not rivals:
    return ''
  rows = [
    [name, str(rival.seed), rival.map, rival.against, signed(rival.gap)]
    for name, rival in sorted(rivals, key=lambda named: (named[0], named[1].seed))
  ]
  head = ('method', 'seed', 'map', 'against', 'difference of AUPRC')
  note = (
    'The best uniform field is chosen on the test scans, in its favour. A method that '
    'is missing for a seed has only the mean of its seeds in the records, not the '
    'resamples that a pair needs.'
  )
  return f'Paired differences. {note}\n\n{markdown(head, rows)}'
