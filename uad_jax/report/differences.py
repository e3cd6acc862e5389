"""Paired differences of AUPRC: over the honest row, and to all a method has to beat."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from uad_jax.evaluation.bootstrap import Interval, paired
from uad_jax.evaluation.metrics import POOLED
from uad_jax.evaluation.sample import load
from uad_jax.report.stored import Run
from uad_jax.report.tables import Estimate, markdown

HONEST = 'atlas'
"""The row without a network that knows most: mean and deviation of each voxel."""


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


def difference(a: Run, scorer_a: str, b: Run, scorer_b: str) -> Interval:
  """AUPRC of one map minus that of another, on the same resampled subjects."""
  return paired(
    POOLED['auprc'],
    load(a.folder / 'evaluation.npz')[scorer_a],
    load(b.folder / 'evaluation.npz')[scorer_b],
  )


def signed(gap: Estimate) -> str:
  """'+0.123 [+0.045, +0.200]'."""
  value, (low, high) = gap['value'], gap['interval']
  return f'{value:+.3f} [{low:+.3f}, {high:+.3f}]'


def by_name(runs: Sequence[Run]) -> Mapping[str, list[Run]]:
  """The runs of each row, [] of one that is not there."""
  found = defaultdict(list)
  for run in runs:
    found[run.name].append(run)
  return found


def over(run: Run, runs: Sequence[Run]) -> Interval | None:
  """The chosen map of a run over that of the honest row with the same seed.

  None where there is no such run, for a variant, and for the honest row itself.
  """
  honest = {other.seed: other for other in by_name(runs)[HONEST]}
  other = honest.get(run.seed)
  if run.variant or other in (None, run):
    return None
  return difference(run, run.default, other, other.default)


def auprc(run: Run, scorer: str) -> float:
  """The pooled AUPRC of a map."""
  return run.summary['scorers'][scorer]['pooled']['auprc']['value']


def opponents(main: Run, runs: Sequence[Run]) -> Iterator[tuple[str, Run, str]]:
  """What a run with variants has to beat, as (map of its own, run, map).

  Its own prior; the best of its uniform fields, by their residual and by the same map;
  the chosen map of every other method of the same seed. Nothing for other runs.
  """
  rows = by_name([run for run in runs if run.seed == main.seed])
  uniform = [run for run in rows.pop(main.name) if run.variant]
  if main.variant or not uniform:
    return
  for ours in dict.fromkeys((main.default, 'standardised')):
    yield ours, main, 'standardised_prior'
    for theirs in dict.fromkeys(('standardised', ours)):
      having = [run for run in uniform if theirs in run.summary['scorers']]
      if having:
        yield ours, max(having, key=lambda run: auprc(run, theirs)), theirs
  for others in rows.values():
    for other in others:
      if not other.variant:
        yield main.default, other, other.default


def rivals(main: Run, runs: Sequence[Run]) -> Iterator[tuple[int, str, str, Interval]]:
  """The fields of `Rival` for each of a run's opponents."""
  for ours, other, theirs in opponents(main, runs):
    if (main, ours) != (other, theirs):
      name = other.variant or ('own' if other is main else other.name)
      yield main.seed, ours, f'{name} {theirs}', difference(main, ours, other, theirs)


def table(found: Sequence[tuple[str, Rival]]) -> str:
  """The rivals of the methods named, in Markdown; nothing where there are none."""
  if not found:
    return ''
  rows = [
    [name, str(rival.seed), rival.map, rival.against, signed(rival.gap)]
    for name, rival in sorted(found, key=lambda each: (each[0], each[1].seed))
  ]
  head = ('method', 'seed', 'map', 'against', 'difference of AUPRC')
  note = 'The best uniform field is chosen on the test scans, in its favour.'
  return f'Paired differences. {note}\n\n{markdown(head, rows)}'
