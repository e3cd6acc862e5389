"""Paired differences of AUPRC: over the honest row, and to all a method has to beat."""

from collections.abc import Sequence

import numpy as np

from uad_jax.evaluation.bootstrap import Interval, paired
from uad_jax.evaluation.metrics import POOLED
from uad_jax.evaluation.sample import load
from uad_jax.report.stored import Run
from uad_jax.report.tables import MISSING, markdown

HONEST = 'atlas'
"""The row without a network that knows most: mean and deviation of each voxel."""


def difference(a: Run, scorer_a: str, b: Run, scorer_b: str) -> Interval:
  """AUPRC of one map minus that of another, on the same resampled subjects."""
  return paired(
    POOLED['auprc'],
    load(a.folder / 'evaluation.npz')[scorer_a],
    load(b.folder / 'evaluation.npz')[scorer_b],
  )


def signed(interval: Interval) -> str:
  """'+0.123 [+0.045, +0.200]'."""
  value, low, high = interval
  return f'{value:+.3f} [{low:+.3f}, {high:+.3f}]'


def over(members: Sequence[Run], others: Sequence[Run]) -> str:
  """The chosen maps of a method over those of another, of the same seeds.

  Returns:
    Means over the seeds of the difference and of the ends of its interval; a dash where
    no seed has both, and for a method over itself.
  """
  by_seed = {run.seed: run for run in others}
  pairs = [(run, by_seed[run.seed]) for run in members if run.seed in by_seed]
  found = [difference(a, a.default, b, b.default) for a, b in pairs if a is not b]
  return signed(Interval(*np.mean(found, 0))) if found else MISSING


def auprc(run: Run, scorer: str) -> float:
  """The pooled AUPRC of a map."""
  return run.summary['scorers'][scorer]['pooled']['auprc']['value']


def rivals(main: Run, runs: Sequence[Run]) -> list[tuple[str, Run, str]]:
  """What a run with variants has to beat, as (map of its own, run, map).

  Its own prior; the best of its uniform fields, by their residual and by the same map;
  the chosen map of every other method of the same seed.
  """
  default = main.default
  others = [run for run in runs if run.seed == main.seed and run.name != main.name]
  uniform = [
    r for r in runs if (r.name, r.seed) == (main.name, main.seed) and r.variant
  ]
  found = []
  for ours in dict.fromkeys((default, 'standardised')):
    found.append((ours, main, 'standardised_prior'))
    for theirs in dict.fromkeys(('standardised', ours)):
      having = [run for run in uniform if theirs in run.summary['scorers']]
      if having:
        best = max(having, key=lambda run: auprc(run, theirs))
        found.append((ours, best, theirs))
  return found + [(default, run, run.default) for run in others if not run.variant]


def comparisons(runs: Sequence[Run]) -> str:
  """The maps of methods with uniform fields against their rivals."""
  rows = []
  varied = {run.name for run in runs if run.variant}
  mains = [run for run in runs if run.name in varied and not run.variant]
  for main in sorted(mains, key=lambda run: (run.name, run.seed)):
    for ours, other, theirs in rivals(main, runs):
      if (main, ours) == (other, theirs):
        continue
      name = other.variant or ('own' if other is main else other.name)
      shown = signed(difference(main, ours, other, theirs))
      rows.append([main.name, str(main.seed), ours, f'{name} {theirs}', shown])
  if not rows:
    return ''
  head = ('method', 'seed', 'map', 'against', 'difference of AUPRC')
  note = 'The best uniform field is chosen on the test scans, in its favour.'
  return f'Paired differences. {note}\n\n{markdown(head, rows)}'
