"""docs/results.md, rendered from the records of runs and nothing else."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from uad_jax.comparison import paired_differences
from uad_jax.comparison.costs import speed
from uad_jax.comparison.paired_differences import Rival, signed
from uad_jax.comparison.records import HONEST, TESTED, Record, gap
from uad_jax.comparison.side_by_side import CAPTION
from uad_jax.report.tables import COLUMNS, MISSING, Estimate, cell, markdown

HEAD = """# Results

Written by `python -m uad_jax.benchmark --render` from the records of runs in
[runs](runs), not by hand. A cell is the mean over the seeds with, in brackets, the mean
ends of the 95 % intervals (2 000 resamples of subjects). The first table of a data set
takes of each run the map that it chose on validation data; where seeds chose
differently, the number of those that chose a map stands behind it. What it has over the
atlas (mean and deviation of each voxel, no network) is the paired difference on the
same subjects; the AUPRC of `residual`, the plain |x - x'|, compares the reconstructions
by one score. In the table of all maps `*` marks one that a run chose. Training data are
healthy scans alone. Minutes of training are of the machine that did it. Oracle Dice
uses the truth to set its threshold. Of the reconstruction: lesion copied, how much of
the lesion it follows, 0 nothing and 1 all of it; healthy error, its mean absolute error
in healthy brain. A residual shows a lesion where both are small. Of the registration:
DLR, strain in lesions over strain in healthy brain; CFE, counterfactual field error in
voxels. Where data have several fingerprints, machines that round differently made them
by one recipe; they count as the same because the atlas gets the same AUPRC on them.
What the orders mean: [comparison.md](comparison.md).
"""


def mean(pairs: Sequence[tuple[float | None, int]]) -> float | None:
  """The mean of the values that are there, each as often as its number says."""
  known = [(value, times) for value, times in pairs if value is not None]
  if not known:
    return None
  values, weights = zip(*known, strict=True)
  return float(np.average(values, weights=weights))


def averaged(found: Sequence[tuple[Estimate, int]]) -> Estimate:
  """Means over seeds of value and interval, of estimates of so many seeds each."""
  low, high = (mean([(e['interval'][end], n) for e, n in found]) for end in (0, 1))
  return {'value': mean([(e['value'], n) for e, n in found]), 'interval': [low, high]}


def over_seeds(
  members: Sequence[Record], metric: str, scorer: str | None = None
) -> Estimate:
  """A metric of one map, or of the map that each record chose, averaged over seeds."""
  found = [(r.maps.get(scorer or r.default, {}), len(r.seeds)) for r in members]
  return averaged([(maps[metric], n) for maps, n in found if metric in maps])


def trained(members: Sequence[Record]) -> list[str]:
  """The cells of the columns in TRAINED, for the records of one method."""
  minutes = mean([(record.minutes, len(record.seeds)) for record in members])
  shown = MISSING if minutes is None else f'{minutes:.1f}'
  return [str(members[0].steps), shown, str(sum(len(r.seeds) for r in members))]


TRAINED = ('steps', 'minutes', 'seeds')


def choices(members: Sequence[Record]) -> str:
  """The maps that were chosen, each with the number of seeds where they disagree."""
  counts = Counter()
  for record in members:
    counts[record.default] += len(record.seeds)
  if len(counts) == 1:
    return members[0].default
  return ', '.join(f'{name} ({n})' for name, n in counts.most_common())


def summary(records: Sequence[Record]) -> str:
  """One row for each method, in the order of the records: the map that each chose."""
  groups = defaultdict(list)
  for record in records:
    if not record.variant:
      groups[record.name].append(record)
  first, *others = (c for c in COLUMNS if c.section != 'registration')
  above = f'{first.title} over {HONEST}'
  same = f'{first.title} of {PLAIN}'
  titles = [first.title, above, same, *(column.title for column in others)]
  head = ['method', 'map', *titles, 'parameters', 'training data', *TRAINED]
  rows = []
  for name, members in groups.items():
    gaps = [(over(r, groups.get(HONEST, ())), len(r.seeds)) for r in members]
    gaps = [(found, times) for found, times in gaps if found]
    size = members[0].parameters
    cells = [
      cell(over_seeds(members, first.metric), True),
      signed(averaged(gaps)) if gaps else MISSING,
      cell(over_seeds(members, first.metric, PLAIN), False),
      *(cell(over_seeds(members, c.metric), False) for c in others),
      MISSING if size is None else f'{size:,}',
      members[0].training or MISSING,
    ]
    rows.append([name, choices(members), *cells, *trained(members)])
  return markdown(head, rows)


def over(record: Record, honest: Sequence[Record]) -> Estimate | None:
  """What a record has over the honest row of its seed; None for that row itself."""
  for other in honest:
    if other.seeds == record.seeds and other != record:
      return gap(record, other) or record.over
  return record.over


def rivals(records: Sequence[Record]) -> str:
  """What methods with variants have to beat: themselves, and all others by seed."""
  found = []
  for main in records:
    others = [r for r in records if r.seeds == main.seeds and not r.variant]
    gaps = [(r, gap(main, r)) for r in others if main.rivals and r != main]
    found += [(main.name, rival) for rival in main.rivals]
    found += [
      (main.name, Rival(main.seeds[0], main.default, f'{r.name} {r.default}', apart))
      for r, apart in gaps
      if apart
    ]
  return paired_differences.table(found)


PLAIN = 'residual'
"""The map that nearly all methods have: |x - x'| and nothing else."""


def table(records: Sequence[Record]) -> str:
  """All maps of all records of a data set, in Markdown."""
  groups = defaultdict(list)
  for record in records:
    for scorer in record.maps:
      groups[record.name, record.variant, scorer].append(record)
  head = ['method', 'map', *(column.title for column in COLUMNS), *TRAINED]
  rows = []
  for (name, variant, scorer), members in groups.items():
    chosen = any(not variant and r.default == scorer for r in members)
    cells = [cell(over_seeds(members, c.metric, scorer), True) for c in COLUMNS]
    shown, mark = f'{name} {variant}'.strip(), ' \\*' if chosen else ''
    rows.append([shown, f'{scorer}{mark}', *cells, *trained(members)])
  return markdown(head, rows)


SAME = 0.002
"""How far the AUPRC of the honest row, a mean and a deviation of each voxel, may lie
apart on data that two machines made, for these to count as the same."""


def check_data(suite: str, records: Sequence[Record]) -> None:
  """Whether the records of a table saw the same data.

  Machines of different kinds round differently, and so one recipe gives data of
  different fingerprints. These count as the same where as many scans were tested and
  the honest row gets the same AUPRC on them.

  Raises:
    ValueError: They did not.
  """
  seen = sorted({record.data['digest'] for record in records})
  counts = {tuple(record.data[name] for name in TESTED) for record in records}
  honest = [record.data['honest'] for record in records]
  same = None not in honest and max(honest) - min(honest) <= SAME
  if len(seen) > 1 and (len(counts) > 1 or not same):
    raise ValueError(
      f"the runs of '{suite}' saw unequal data: {', '.join(seen)}; delete those of the "
      f"old data, or run '{HONEST}' beside each to show that they are the same"
    )


def section(suite: str, records: Sequence[Record], picture: str | None) -> str:
  """What the page says of one data set.

  Raises:
    ValueError: Two of its runs saw unequal data.
  """
  check_data(suite, records)
  data = records[0].data
  digests = dict.fromkeys(record.data['digest'][:12] for record in records)
  parts = [
    f'## {suite}',
    f'{data["scans"]} test scans of {data["subjects"]} subjects, {data["diseased"]} '
    f'with lesions. Data {", ".join(digests)}.',
    summary(records),
  ]
  if picture:
    parts.append(
      f'![All methods on the same slices of {suite}]({picture})\n\n{CAPTION}'
    )
  every = table(records)
  parts.append(f'<details><summary>All maps</summary>\n\n{every}\n\n</details>')
  parts.append(rivals(records))
  return '\n\n'.join(part for part in parts if part) + '\n'


def page(
  suites: Mapping[str, Sequence[Record]],
  timings: Mapping | None = None,
  more: Sequence[str] = (),
  pictures: Mapping[str, str] | None = None,
) -> str:
  """The whole page, with the stored timings and further sections at its end.

  Args:
    suites: The records by data set; data sets and methods stand in their order.
    timings: What `speed` tells.
    more: Further sections.
    pictures: By data set, where the picture of all methods lies, seen from the page.

  Raises:
    ValueError: Two runs of one table saw unequal data.
  """
  found = [
    section(suite, records, (pictures or {}).get(suite))
    for suite, records in suites.items()
    if records
  ]
  if timings:
    found.append(f'## Speed beside PyTorch\n\n{speed(timings)}\n')
  return '\n'.join([HEAD, *found, *more])
