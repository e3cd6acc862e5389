"""Paired differences of AUPRC between maps, and their table."""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from uad_jax.comparison.finished_runs import FinishedRun
from uad_jax.evaluation.bootstrap import Interval, paired
from uad_jax.evaluation.metrics import POOLED
from uad_jax.evaluation.sample import load
from uad_jax.report.tables import Estimate, markdown

DIGITS = 6


class Rival(NamedTuple):
  """A map of a run with variants against what it has to beat.

  Attributes:
    seed: Of both runs.
    map: The run's.
    against: Whose map it is compared with, and which: 'vae restoration'.
    gap: The paired difference of AUPRC.
  """

  seed: int
  map: str
  against: str
  gap: Estimate


def difference(
  a: FinishedRun, scorer_a: str, b: FinishedRun, scorer_b: str
) -> Interval:
  """AUPRC of one map minus that of another, on the same resampled subjects."""
  return paired(
    POOLED['auprc'],
    load(a.folder / 'evaluation.npz')[scorer_a],
    load(b.folder / 'evaluation.npz')[scorer_b],
  )


def estimate(found: Sequence[float]) -> Estimate:
  """Value and ends of an interval, rounded, as records keep them."""
  value, low, high = (None if x is None else round(float(x), DIGITS) for x in found)
  return {'value': value, 'interval': [low, high]}


def signed(gap: Estimate) -> str:
  """'+0.123 [+0.045, +0.200]'."""
  value, (low, high) = gap['value'], gap['interval']
  return f'{value:+.3f} [{low:+.3f}, {high:+.3f}]'


def auprc(run: FinishedRun, scorer: str) -> float:
  """The pooled AUPRC of a map."""
  return run.summary['scorers'][scorer]['pooled']['auprc']['value']


def own(main: FinishedRun, runs: Sequence[FinishedRun]) -> list[Rival]:
  """What a run with variants has to beat within its own training.

  Its own prior, and the best of its uniform fields, by their residual and by the same
  map. Nothing for other runs.
  """
  alike = defaultdict(list)
  for run in runs:
    alike[run.name, run.seed].append(run)
  uniform = [run for run in alike[main.name, main.seed] if run.variant]
  if main.variant or not uniform:
    return []
  found = []

  def meet(ours, other, name, theirs):
    gap = estimate(difference(main, ours, other, theirs))
    found.append(Rival(main.seed, ours, f'{name} {theirs}', gap))

  for ours in dict.fromkeys((main.default, 'standardised')):
    if ours != 'standardised_prior':
      meet(ours, main, 'own', 'standardised_prior')
    for theirs in dict.fromkeys(('standardised', ours)):
      having = [run for run in uniform if theirs in run.summary['scorers']]
      if having:
        best = max(having, key=lambda run: auprc(run, theirs))
        meet(ours, best, best.variant, theirs)
  return found


def table(found: Sequence[tuple[str, Rival]]) -> str:
  """The rivals of the methods named, in Markdown; nothing where there are none."""
  if not found:
    return ''
  rows = [
    [name, str(rival.seed), rival.map, rival.against, signed(rival.gap)]
    for name, rival in sorted(found, key=lambda each: (each[0], each[1].seed))
  ]
  head = ('method', 'seed', 'map', 'against', 'difference of AUPRC')
  note = (
    'The best uniform field is chosen on the test scans, in its favour. A method that '
    'is missing for a seed has only the mean of its seeds in the records, not the '
    'resamples that a pair needs.'
  )
  return f'Paired differences. {note}\n\n{markdown(head, rows)}'
