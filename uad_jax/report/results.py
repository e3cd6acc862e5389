"""docs/results.md, rendered from stored runs and nothing else."""

import json
import pathlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from uad_jax.evaluation.bootstrap import Interval, paired
from uad_jax.evaluation.metrics import POOLED
from uad_jax.evaluation.sample import load
from uad_jax.report.tables import COLUMNS, MISSING, markdown, number

HEAD = """# Results

Written by `python -m uad_jax.benchmark --render` from stored runs, not by hand. A cell
is the mean over the seeds with, in brackets, the mean ends of the 95 % intervals (2 000
resamples of subjects). `*` marks the map that the run chose on validation data.
Registration measures: DLR, strain in lesions over strain in healthy brain; CFE,
counterfactual field error in voxels. Oracle Dice uses the truth to set its threshold.
"""


class Run(NamedTuple):
  """One stored evaluation: a run's own, or that of a variant."""

  name: str
  variant: str
  seed: int
  summary: Mapping
  training: Mapping
  folder: pathlib.Path


def read(folder: pathlib.Path) -> list[Run]:
  """The evaluations of a run folder."""
  row = json.loads((folder / 'row.json').read_text())
  told = folder / 'training.json'
  training = json.loads(told.read_text()) if told.exists() else {}
  config = json.loads((folder / 'config.json').read_text())
  places = [('', folder)] + [(v, folder / 'variants' / v) for v in config['variants']]
  return [
    Run(
      row['name'],
      variant,
      row['seed'],
      json.loads((place / 'results.json').read_text()),
      training,
      place,
    )
    for variant, place in places
  ]


def estimates(run: Run, scorer: str) -> dict[str, Mapping]:
  """By column title, the estimate of a run's map."""
  sections = {
    'pooled': run.summary['scorers'][scorer]['pooled'],
    'registration': run.summary['registration'],
  }
  return {c.title: sections[c.section].get(c.metric) or {} for c in COLUMNS}


def averaged(found: Sequence[Mapping]) -> str:
  """'0.313 [0.250, 0.380]', means over seeds of value and interval."""
  found = [f for f in found if f.get('value') is not None]
  if not found:
    return MISSING
  text = number(float(np.mean([f['value'] for f in found])))
  ends = [f['interval'] for f in found if f['interval'][0] is not None]
  if ends:
    low, high = np.mean(ends, 0)
    text += f' [{number(float(low))}, {number(float(high))}]'
  return text


def table(runs: Sequence[Run]) -> str:
  """All maps of all runs of a data set, in Markdown."""
  groups = defaultdict(list)
  for run in runs:
    for scorer in run.summary['scorers']:
      groups[run.name, run.variant, scorer].append(run)
  titles = [c.title for c in COLUMNS]
  head = ['method', 'map', *titles, 'steps', 'minutes', 'seeds']
  rows = []
  for (name, variant, scorer), members in groups.items():
    by_title = [estimates(run, scorer) for run in members]
    chosen = any(not variant and run.summary['default'] == scorer for run in members)
    cells = [averaged([each[title] for each in by_title]) for title in titles]
    steps = members[0].training.get('steps', 0)
    minutes = np.mean([run.training.get('seconds', 0) / 60 for run in members])
    shown, mark = f'{name} {variant}'.strip(), ' \\*' if chosen else ''
    trained = [str(steps), f'{minutes:.1f}', str(len(members))]
    rows.append([shown, f'{scorer}{mark}', *cells, *trained])
  return markdown(head, rows)


def difference(a: Run, scorer_a: str, b: Run, scorer_b: str) -> Interval:
  """AUPRC of one map minus that of another, on the same resampled subjects."""
  return paired(
    POOLED['auprc'],
    load(a.folder / 'evaluation.npz')[scorer_a],
    load(b.folder / 'evaluation.npz')[scorer_b],
  )


def auprc(run: Run, scorer: str) -> float:
  """The pooled AUPRC of a map."""
  return run.summary['scorers'][scorer]['pooled']['auprc']['value']


def rivals(main: Run, runs: Sequence[Run]) -> list[tuple[str, Run, str]]:
  """What a run with variants has to beat, as (map of its own, run, map).

  Its own prior; the best of its uniform fields, by their residual and by the same map;
  the chosen map of every other method of the same seed.
  """
  default = main.summary['default']
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
  return found + [
    (default, run, run.summary['default']) for run in others if not run.variant
  ]


def comparisons(runs: Sequence[Run]) -> str:
  """The maps of methods with uniform fields against their rivals."""
  rows = []
  varied = {run.name for run in runs if run.variant}
  mains = [run for run in runs if run.name in varied and not run.variant]
  for main in sorted(mains, key=lambda run: (run.name, run.seed)):
    for ours, other, theirs in rivals(main, runs):
      if (main, ours) == (other, theirs):
        continue
      value, low, high = difference(main, ours, other, theirs)
      name = other.variant or ('own' if other is main else other.name)
      shown = f'{value:+.3f} [{low:+.3f}, {high:+.3f}]'
      rows.append([main.name, str(main.seed), ours, f'{name} {theirs}', shown])
  if not rows:
    return ''
  head = ('method', 'seed', 'map', 'against', 'difference of AUPRC')
  note = 'The best uniform field is chosen on the test scans, in its favour.'
  return '\n'.join(['', 'Paired differences. ' + note, '', markdown(head, rows)])


def speed(stored: Mapping) -> str:
  """The timings that `tests.benchmarks.table --json=FILE` stored, in Markdown."""
  about = stored['about']
  machine = (
    f'{about["machine"]}, {about["cores"]} cores, jax {about["jax"]} on '
    f'{about["devices"]} devices, torch {about["torch"]} on {about["threads"]} threads'
  )
  head = ('case', 'jax, ms', 'torch, ms', 'ratio of best', 'median ratio')
  rows = []
  for name, row in stored['cases'].items():
    cells = [f'{row["ours_ms"]:.1f}']
    cells += [f'{row["torch_ms"]:.1f}' if 'torch_ms' in row else '-']
    for key in ('ratio_of_best', 'median_ratio'):
      cells += [f'{row[key]:.2f}' if key in row else '-']
    rows.append([name, *cells])
  return f'{machine}\n\n{markdown(head, rows)}'


def page(
  folders: Sequence[pathlib.Path],
  timings: Mapping | None = None,
  more: Sequence[str] = (),
) -> str:
  """The whole page, with the stored timings and further sections at its end.

  Raises:
    ValueError: Two runs of one table saw unequal data.
  """
  suites = defaultdict(list)
  for folder in folders:
    suites[folder.parent.name].append(folder)
  parts = [HEAD]
  for suite, members in suites.items():
    runs = [run for folder in members for run in read(folder)]
    seen = {run.summary['run']['manifest'] for run in runs}
    if len(seen) > 1:
      raise ValueError(
        f"the runs of '{suite}' saw unequal data: {', '.join(sorted(map(str, seen)))}; "
        'delete those of the old data'
      )
    data = runs[0].summary['data']
    parts.append(
      f'## {suite}\n\n{data["scans"]} test scans of {data["subjects"]} subjects, '
      f'{data["diseased"]} with lesions. Data {seen.pop()[:12]}.\n\n{table(runs)}\n'
      f'{comparisons(runs)}\n'
    )
  if timings:
    parts.append(f'## Speed beside PyTorch\n\n{speed(timings)}\n')
  parts += more
  return '\n'.join(parts)
