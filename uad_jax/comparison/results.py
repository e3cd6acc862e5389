"""Functions that render docs/results.md from the stored numbers (records) of runs."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from uad_jax.comparison import (
  kind_table,
  overview,
  paired_differences,
  patient_tables,
  polarity_table,
)
from uad_jax.comparison.benchmark_rows import UNSIGNED
from uad_jax.comparison.costs import speed
from uad_jax.comparison.paired_differences import Rival, signed
from uad_jax.comparison.records import BASELINE, TESTED, Record, gap
from uad_jax.comparison.seed_means import by_method, mean, over_baseline, over_seeds
from uad_jax.comparison.side_by_side import CAPTION
from uad_jax.report.tables import COLUMNS, MISSING, cell, markdown

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


def trained(members: Sequence[Record]) -> list[str]:
  """Formats the steps, minutes and number of seeds of a method as table cells."""
  minutes = mean([(record.minutes, len(record.seeds)) for record in members])
  shown = MISSING if minutes is None else f'{minutes:.1f}'
  return [str(members[0].steps), shown, str(sum(len(r.seeds) for r in members))]


TRAINED = ('steps', 'minutes', 'seeds')


def choices(members: Sequence[Record]) -> str:
  """Returns the table cell that names the scorers chosen for the runs of a method.

  If the scorers differ, the number of seeds follows each.
  """
  counts = Counter()
  for record in members:
    counts[record.default] += len(record.seeds)
  if len(counts) == 1:
    return members[0].default
  return ', '.join(f'{name} ({n})' for name, n in counts.most_common())


def summary(records: Sequence[Record]) -> str:
  """Renders the Markdown table of the main results, with one row for each method.

  A row shows the scorer chosen on validation data; rows are in the records' order.
  """
  groups = by_method(records)
  first, *others = (c for c in COLUMNS if c.section != 'registration')
  over_title = f'{first.title} over {BASELINE}'
  plain_title = f'{first.title} of {PLAIN}'
  titles = [first.title, over_title, plain_title, *(column.title for column in others)]
  head = ['method', 'map', *titles, 'parameters', 'training data', *TRAINED]
  rows = []
  for name, members in groups.items():
    over = over_baseline(members, groups.get(BASELINE, ()))
    size = members[0].parameters
    cells = [
      cell(over_seeds(members, first.metric), True),
      signed(over) if over else MISSING,
      cell(over_seeds(members, first.metric, PLAIN), False),
      *(cell(over_seeds(members, c.metric), False) for c in others),
      MISSING if size is None else f'{size:,}',
      members[0].training or MISSING,
    ]
    rows.append([name, choices(members), *cells, *trained(members)])
  return markdown(head, rows)


def rivals(records: Sequence[Record]) -> str:
  """Renders a Markdown table of AUPRC differences between pairs of anomaly maps.

  Only methods with variants are compared: with anomaly maps of the same training, and
  with all other methods with the same seeds.
  """
  differences = []
  for main in records:
    others = [r for r in records if r.seeds == main.seeds and not r.variant]
    gaps = [(r, gap(main, r)) for r in others if main.rivals and r != main]
    differences += [(main.name, rival) for rival in main.rivals]
    differences += [
      (main.name, Rival(main.seeds[0], main.default, f'{r.name} {r.default}', estimate))
      for r, estimate in gaps
      if estimate
    ]
  return paired_differences.table(differences)


PLAIN = 'residual'
"""Scorer that nearly all methods have: the absolute residual |x - x'|."""


def table(records: Sequence[Record]) -> str:
  """Renders the Markdown table of all scorers of all methods on one data set."""
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
"""Largest difference of the baseline's AUPRC between data of two machines that count as
the same."""


def check_data(suite: str, records: Sequence[Record]) -> None:
  """Checks that all runs of one table were evaluated on the same test data.

  Machines of different kinds round differently, so one recipe gives data of different
  digests. Such data count as the same if they have as many test scans and the baseline
  gets the same AUPRC on them.

  Raises:
    ValueError: The data differ.
  """
  digests = sorted({record.data['digest'] for record in records})
  counts = {tuple(record.data[name] for name in TESTED) for record in records}
  auprcs = [record.data['honest'] for record in records]
  same = None not in auprcs and max(auprcs) - min(auprcs) <= SAME
  if len(digests) > 1 and (len(counts) > 1 or not same):
    raise ValueError(
      f"the runs of '{suite}' saw unequal data: {', '.join(digests)}; delete those of "
      f"the old data, or run '{BASELINE}' beside each to show that they are the same"
    )


def section(suite: str, records: Sequence[Record], picture: str | None) -> str:
  """Renders the Markdown section of docs/results.md about one data set.

  Args:
    suite: Name of the data set.
    records: Its records.
    picture: Path of the picture of all methods, relative to docs/results.md; None if
      there is no picture.

  Raises:
    ValueError: The records were not evaluated on the same data.
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
  all_maps = table(records)
  parts.append(f'<details><summary>All maps</summary>\n\n{all_maps}\n\n</details>')
  parts += [rivals(records), kind_table.section(records)]
  parts.append(patient_tables.section(records))
  return '\n\n'.join(part for part in parts if part) + '\n'


def page(
  suites: Mapping[str, Sequence[Record]],
  timings: Mapping | None = None,
  more: Sequence[str] = (),
  pictures: Mapping[str, str] | None = None,
) -> str:
  """Renders the whole page docs/results.md in Markdown.

  Args:
    suites: Records by data set, in the order of the page.
    timings: Content of benchmarks.json, for `costs.speed`.
    more: Further sections for the end of the page.
    pictures: Path of the picture of all methods, relative to the page, by data set.

  Raises:
    ValueError: Records of one table were not evaluated on the same data.
  """
  sections = []
  for suite, records in suites.items():
    if records:
      sections.append(section(suite, records, (pictures or {}).get(suite)))
      bright = suites.get(suite.removesuffix(UNSIGNED), ())
      if bright is not records:
        sections.append(polarity_table.table(bright, records))
  if timings:
    sections.append(f'## Speed beside PyTorch\n\n{speed(timings)}\n')
  parts = [HEAD, overview.section(suites), *sections]
  return '\n'.join([*filter(None, parts), *more])
