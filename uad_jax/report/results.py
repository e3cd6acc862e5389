"""docs/results.md, rendered from stored runs and nothing else."""

import pathlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from uad_jax.report.differences import HONEST, comparisons, over
from uad_jax.report.side_by_side import CAPTION
from uad_jax.report.stored import Run, read
from uad_jax.report.tables import (
  COLUMNS,
  MISSING,
  Estimate,
  estimates,
  markdown,
  number,
)

HEAD = """# Results

Written by `python -m uad_jax.benchmark --render` from stored runs, not by hand. A cell
is the mean over the seeds with, in brackets, the mean ends of the 95 % intervals (2 000
resamples of subjects). The first table of a data set takes of each run the map that it
chose on validation data; where seeds chose differently, the number of those that chose
a map stands behind it. What it has over the atlas (mean and deviation of each voxel,
no network) is the paired difference on the same subjects; the AUPRC of `residual`, the
plain |x - x'|, compares the reconstructions by one score. In the table of all maps `*`
marks one that a run chose. Training data are healthy scans alone. Oracle Dice uses the
truth to set its threshold. Of the reconstruction: lesion copied, how much of the lesion
it follows, 0 nothing and 1 all of it; healthy error, its mean absolute error in healthy
brain. A residual shows a lesion where both are small. Of the registration: DLR, strain
in lesions over strain in healthy brain; CFE, counterfactual field error in voxels. What
the orders mean: [comparison.md](comparison.md).
"""


def averaged(found: Sequence[Estimate], interval: bool = True) -> str:
  """'0.313 [0.250, 0.380]' or '0.313', means over seeds of value and interval."""
  found = [f for f in found if f['value'] is not None]
  if not found:
    return MISSING
  text = number(float(np.mean([f['value'] for f in found])))
  ends = [f['interval'] for f in found if f['interval'][0] is not None]
  if ends and interval:
    low, high = np.mean(ends, 0)
    text += f' [{number(float(low))}, {number(float(high))}]'
  return text


def trained(runs: Sequence[Run]) -> list[str]:
  """The cells of the columns in TRAINED, for the runs of one method."""
  minutes = np.mean([run.training.get('seconds', 0) / 60 for run in runs])
  return [str(runs[0].training.get('steps', 0)), f'{minutes:.1f}', str(len(runs))]


TRAINED = ('steps', 'minutes', 'seeds')


def training_data(run: Run) -> str:
  """'48 subjects, 480 slices'; a dash for a run that was stored without it."""
  told = run.model.get('training')
  if not told:
    return MISSING
  kind = 'slices' if len(run.model['shape']) == 2 else 'volumes'
  return f'{told["subjects"]} subjects, {told["records"]} {kind}'


def summary(runs: Sequence[Run]) -> str:
  """One row for each method, in the order of the runs: the map that each run chose."""
  groups = defaultdict(list)
  for run in runs:
    if not run.variant:
      groups[run.name].append(run)
  titles = [column.title for column in COLUMNS if column.section != 'registration']
  first, *others = titles
  above = f'{first} over {HONEST}'
  same = f'{first} of {PLAIN}'
  columns = [first, above, same, *others, 'parameters', 'training data', *TRAINED]
  head = ['method', 'map', *columns]
  rows = []
  for name, members in groups.items():
    counts = Counter(run.default for run in members)
    maps = [f'{m} ({n})' if len(counts) > 1 else m for m, n in counts.most_common()]
    by_title = [estimates(run.summary, run.default) for run in members]
    cells = [
      averaged([e[title] for e in by_title if title in e], title in WITH_INTERVAL)
      for title in titles
    ]
    plain = [
      estimates(r.summary, PLAIN) for r in members if PLAIN in r.summary['scorers']
    ]
    gap = over(members, groups.get(HONEST, ()))
    cells[1:1] = gap, averaged([e[first] for e in plain], False)
    known = members[0].parameters
    size = MISSING if known is None else f'{known:,}'
    own = [size, training_data(members[0]), *trained(members)]
    rows.append([name, ', '.join(maps), *cells, *own])
  return markdown(head, rows)


PLAIN = 'residual'
"""The map that nearly all methods have: |x - x'| and nothing else."""

WITH_INTERVAL = ('AUPRC',)
"""The columns of the summary that show their interval; the table of all maps does."""


def table(runs: Sequence[Run]) -> str:
  """All maps of all runs of a data set, in Markdown."""
  groups = defaultdict(list)
  for run in runs:
    for scorer in run.summary['scorers']:
      groups[run.name, run.variant, scorer].append(run)
  titles = [c.title for c in COLUMNS]
  head = ['method', 'map', *titles, *TRAINED]
  rows = []
  for (name, variant, scorer), members in groups.items():
    by_title = [estimates(run.summary, scorer) for run in members]
    chosen = any(not variant and run.default == scorer for run in members)
    cells = [averaged([e[title] for e in by_title if title in e]) for title in titles]
    shown, mark = f'{name} {variant}'.strip(), ' \\*' if chosen else ''
    rows.append([shown, f'{scorer}{mark}', *cells, *trained(members)])
  return markdown(head, rows)


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


def section(suite: str, runs: Sequence[Run], picture: str | None) -> str:
  """What the page says of one data set.

  Raises:
    ValueError: Two of its runs saw unequal data.
  """
  seen = {run.summary['run']['manifest'] for run in runs}
  if len(seen) > 1:
    raise ValueError(
      f"the runs of '{suite}' saw unequal data: {', '.join(sorted(map(str, seen)))}; "
      'delete those of the old data'
    )
  data = runs[0].summary['data']
  parts = [
    f'## {suite}',
    f'{data["scans"]} test scans of {data["subjects"]} subjects, {data["diseased"]} '
    f'with lesions. Data {seen.pop()[:12]}.',
    summary(runs),
  ]
  if picture:
    parts.append(
      f'![All methods on the same slices of {suite}]({picture})\n\n{CAPTION}'
    )
  parts.append(f'<details><summary>All maps</summary>\n\n{table(runs)}\n\n</details>')
  return '\n\n'.join(part for part in (*parts, comparisons(runs)) if part) + '\n'


def page(
  folders: Sequence[pathlib.Path],
  timings: Mapping | None = None,
  more: Sequence[str] = (),
  pictures: Mapping[str, str] | None = None,
) -> str:
  """The whole page, with the stored timings and further sections at its end.

  Args:
    folders: Of the runs; data sets and methods stand in their order.
    timings: What `speed` tells.
    more: Further sections.
    pictures: By data set, where the picture of all methods lies, seen from the page.

  Raises:
    ValueError: Two runs of one table saw unequal data.
  """
  suites = defaultdict(list)
  for folder in folders:
    suites[folder.parent.name] += read(folder)
  found = [
    section(suite, runs, (pictures or {}).get(suite)) for suite, runs in suites.items()
  ]
  if timings:
    found.append(f'## Speed beside PyTorch\n\n{speed(timings)}\n')
  return '\n'.join([HEAD, *found, *more])
