"""Functions that write the tables of docs/robustness.md from stored records."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from uad_jax.comparison import blind_spot_page, stream_page
from uad_jax.comparison.record_lines import read
from uad_jax.comparison.seed_means import averaged
from uad_jax.report.tables import cell, markdown

HEAD = (
  'adaptation', 'k', 'brain marked', 'highest', 'AUPRC, target', 'Dice @5%, target',
  'AUPRC, source', 'draws', 'seeds', 'seconds',
)  # fmt: skip

INTRODUCTION = """# Scans of another scanner

Written by `python -m uad_jax.comparison --render` from the records in docs/runs.

*Brain marked* is the share of the brain at or above the source run's threshold, which
5 % of the voxels of healthy scans of the training scanner reach: mean over healthy
target test scans, draws of the k subjects and seeds, with a 95 % interval over subjects
and draws; *highest* is that of the worst scan. *AUPRC, target* is over the voxels of
the target test scans with inserted lesions (of real shape, by a mechanism that no
painter of training has); *AUPRC, source* the same on test scans of the training
scanner, after the adaptation. Their intervals are over subjects, averaged over draws
and seeds.

Names: *METHOD, randomise* was trained on random contrasts. In [results.md](results.md)
`dae_unc, randomise` is the row `dae_unc`, and `dae_unc` the row `dae_unc_plain`. The
streams of `dae_unc` are of an earlier run on scans that were normalised by percentiles.

![A healthy head of each scanner](figures/scanners.png)

`dae_unc`, before and after `voxel_moments:support` (5 and 3 heads): the healthy test
head of which the unadapted run marks the median share of the brain, at the slice with
most brain; anomaly map; voxels at or above the threshold of 5 %.
"""


def interval_of_marked(
  records: Sequence[Mapping[str, Any]], resamples: int = 2000, seed: int = 0
) -> tuple[float, float, float]:
  """Computes the mean share of marked brain, and its interval over subjects and draws.

  In each resample the trials (draws and seeds) and the subjects are drawn with
  replacement, independently.

  Args:
    records: Records of one adaptation with one k; all of the same test subjects.
    resamples: Number of resamples.
    seed: Seed of the resampling.

  Returns:
    Mean, lower and upper bound of the 95 % interval.

  Raises:
    ValueError: The records are of different test subjects.
  """
  subjects = sorted(records[0]['marked'])
  if any(sorted(record['marked']) != subjects for record in records):
    raise ValueError('records of one row are of different test subjects')
  table = np.array([[r['marked'][name] for name in subjects] for r in records])
  random = np.random.default_rng(seed)
  means = []
  for _ in range(resamples):
    rows = random.integers(len(table), size=len(table))
    columns = random.integers(len(subjects), size=len(subjects))
    means.append(table[np.ix_(rows, columns)].mean())
  low, high = np.percentile(means, (2.5, 97.5))
  return float(table.mean()), float(low), float(high)


def row(records: Sequence[Mapping[str, Any]]) -> list[str]:
  """Formats the records of one adaptation with one k as a row of the table."""
  first = records[0]
  mean, low, high = interval_of_marked(records)
  highest = max(max(record['marked'].values()) for record in records)
  metrics = [
    cell(averaged([(record[name], 1) for record in records]), True)
    for name in ('auprc', 'dice', 'source')
  ]
  return [
    first['adaptation'],
    str(first['subjects'] or '–'),
    f'{100 * mean:.1f} % [{100 * low:.1f}, {100 * high:.1f}]',
    f'{100 * highest:.0f} %',
    *metrics,
    str(len({record['draw'] for record in records})),
    str(len({record['seed'] for record in records})),
    f'{np.median([record["seconds"] for record in records]):.0f}',
  ]


def table(records: Sequence[Mapping[str, Any]]) -> str:
  """Formats the records of one method and target as a Markdown table.

  Rows are in the order of the records' first appearance.
  """
  groups: dict[tuple, list] = {}
  for record in records:
    groups.setdefault((record['adaptation'], record['subjects']), []).append(record)
  return markdown(HEAD, [row(group) for group in groups.values()])


def page(folder: pathlib.Path) -> str:
  """Writes the text of docs/robustness.md.

  Args:
    folder: Folder of the records, docs/runs.
  """
  parts = [INTRODUCTION]
  records = read(folder / 'few_shot.jsonl')
  for target in dict.fromkeys(record['target'] for record in records):
    parts.append(f'## Few-shot adaptation: {target}\n')
    of_target = [record for record in records if record['target'] == target]
    for method in dict.fromkeys(record['method'] for record in of_target):
      chosen = [record for record in of_target if record['method'] == method]
      scorer = ', '.join(dict.fromkeys(record['scorer'] for record in chosen))
      count = len(chosen[0]['marked'])
      parts.append(
        f'### {method}\n\nMap `{scorer}`, {count} healthy target test scans.\n\n'
        f'{table(chosen)}\n'
      )
  parts += stream_page.sections(read(folder / 'stream.jsonl'))
  parts += blind_spot_page.sections(read(folder / 'blind_spot.jsonl'))
  return '\n'.join(parts)
