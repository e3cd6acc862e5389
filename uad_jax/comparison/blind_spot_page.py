"""Functions that write the part of docs/robustness.md about the blind spot."""

from collections.abc import Mapping, Sequence
from typing import Any

from uad_jax.comparison.blind_spot_scores import SCORES
from uad_jax.comparison.blind_spot_tables import (
  comparison_table,
  ensemble,
  marked_table,
  shift_table,
)
from uad_jax.domain_shift.confusion import COMPARISONS

LEVELS = {'scans': 'Whole scans', 'slices': 'Slices'}
"""Kinds of examples, with the headings of their tables."""

READING = {
  'shift': 'Healthy target scans against healthy source scans. 0.5: the score does not '
  'notice the other scanner; 1: every healthy target scan looks more anomalous than '
  'every healthy source scan.',
  'lesion in source': 'Source scans with a lesion against healthy source scans. 1 is '
  'perfect detection, 0.5 is chance.',
  'lesion in target': 'Target scans with a lesion against healthy target scans. Below '
  'the same row of the table before, the other scanner costs detection.',
  'shift against lesion': 'Healthy target scans against source scans with a lesion. 0: '
  'every lesion looks more anomalous than every healthy target scan, as a detector of '
  'lesions should have it; 1: the score answers to the scanner alone; about 0.5 is the '
  'blind spot.',
}
"""Explanation of each comparison for a reader."""

INTRODUCTION = """## The blind spot: {target}

Can a score tell a healthy scan of another scanner from a lesion (Heer et al., 2021)?
Numbers are AUROCs, the probability that a scan of the first kind scores above one of
the second, with 95 % intervals over subjects, averaged over seeds. All scores are high
where a scan is anomalous. DoSE, typicality, kNN and the gate compare with {reference}
healthy validation scans of the training scanner. Scans: {counts}. A slice with a lesion
is one that holds lesion voxels.{omitted} Anomaly maps: {maps}.

{scores}
"""

SHIFTED = """### Simulated shifts

AUROC between healthy source scans and {number} of them after a simulated shift. 0.5:
the score does not notice the shift; below 0.5: shifted scans look more normal than the
originals, such as smoother ones.
"""

MARKED = """### Share of the brain that is marked

Mean share of the brain at or above the threshold that 5 % of the voxels of healthy
source scans reach, with a 95 % interval over subjects. Healthy scans should have 5 %.
"""


def newest(records: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
  """Returns the last record of each method and seed."""
  return list(
    {(record['method'], record['seed']): record for record in records}.values()
  )


def omitted(records: Sequence[Mapping[str, Any]]) -> str:
  """Writes the sentence about examples that scores leave out; '' if there are none."""
  parts = [
    f'{number} {level} from {score} of {record["method"]}'
    for record in records
    for level, numbers in record['undefined'].items()
    for score, number in numbers.items()
  ]
  text = ', '.join(dict.fromkeys(parts))
  return f' Left out, as a statistic is undefined: {text}.' if text else ''


def section(records: Sequence[Mapping[str, Any]], shifted: bool) -> list[str]:
  """Writes the section of one target.

  Args:
    records: Records of the target.
    shifted: Whether to show the simulated shifts, which are the same for all targets.
  """
  records = newest(records)
  first = records[0]
  methods = {
    name: [record for record in records if record['method'] == name]
    for name in dict.fromkeys(record['method'] for record in records)
  }
  used = {score for record in records for score in record['scans']}
  if any(ensemble(group) for group in methods.values()):
    used.add('WAIC')
  words = [f'- *{name}*: {text}' for name, text in SCORES.items() if name in used]
  counts = ', '.join(
    f'{scans} {name} ({slices} slices)' for name, (scans, slices) in first['n'].items()
  )
  parts = [
    INTRODUCTION.format(
      target=first['target'],
      reference=first['reference'],
      counts=counts,
      omitted=omitted(records),
      maps=', '.join(dict.fromkeys(f'{r["scorer"]} of {r["method"]}' for r in records)),
      scores='\n'.join(words),
    )
  ]
  for comparison in COMPARISONS:
    parts.append(f'### {comparison.capitalize()}\n\n{READING[comparison]}\n')
    for level, heading in LEVELS.items():
      table = comparison_table(methods, level, comparison)
      parts.append(f'{heading}:\n\n{table}\n')
  parts.append(f'{MARKED}\n{marked_table(methods)}\n')
  if shifted:
    numbers = sorted({record['shifted_scans'] for record in records})
    parts.append(SHIFTED.format(number=' or '.join(map(str, numbers))))
    parts += [f'{name}:\n\n{shift_table(group)}\n' for name, group in methods.items()]
  return parts


def sections(records: Sequence[Mapping[str, Any]]) -> list[str]:
  """Writes the sections of all targets, with the simulated shifts in the first.

  Args:
    records: Records of docs/runs/blind_spot.jsonl.
  """
  targets = list(dict.fromkeys(record['target'] for record in records))
  return [
    part
    for target in targets
    for part in section(
      [record for record in records if record['target'] == target],
      target == targets[0],
    )
  ]
