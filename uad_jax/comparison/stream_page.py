"""Functions that write the part of docs/robustness.md about streams of scans."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from uad_jax.comparison.paired_differences import estimate, signed
from uad_jax.evaluation.bootstrap import mean_of
from uad_jax.report.tables import markdown

HEAD = (
  'scans with a lesion', 'guards', 'learnt', 'artefact marked', 'healthy brain marked',
  'AUPRC', 'difference, mean of heads', 'AUPRC without artefact', 'healthy flagged',
  'lesions flagged',
)  # fmt: skip

INTRODUCTION = """## Streams of scans: {method}

`uad_jax.online` learns which residuals recur, one scan after the other. A stream begins
on {reference} healthy heads of the training scanner; {length} scans of {heads} further
heads follow, all with the artefact of another scanner: a bright ball of 9 mm radius at
one place of the brain. A share of them has a lesion. The filtered map `{scorer}` of
{tests} test heads, which are in no stream, is measured before ("none") and after.

*Learnt* counts the scans that were learnt, and in brackets those of them with a lesion;
a subject counts once. *Artefact marked* and *healthy brain marked* are shares of the
voxels at the threshold or above, in healthy heads. *AUPRC* is over the voxels of the
heads with lesion and artefact, the *difference* the mean over these heads of their
average precision minus that before the stream, with a 95 % interval; *without artefact*
tells what the training scanner loses. *Flagged* are scans whose conformal p-value is at
most 0.05; they are not learnt. With *answers* a reader, who is always right, tells of
each of them ten scans later whether it was healthy; the healthy ones are learnt then.
Without guards is the negative control.
"""


def row(entry: Mapping[str, Any], before: Sequence[float]) -> list[str]:
  """Formats the numbers after one stream as a row of the table.

  Args:
    entry: The numbers, see `stream_study.rows`.
    before: Average precision of each test head before the stream.
  """
  after = entry['rate'] is not None
  share, learnt, difference = 'none', '–', '–'
  guards = 'on' if entry['guards'] else 'off'
  if after:
    share = f'{entry["rate"]:.0%}'
    learnt = f'{entry["learnt"]} ({entry["learnt_sick"]})'
    gain = mean_of(np.subtract(entry['heads'], before))
    if entry.get('answers'):
      guards += f', {entry["answered"]} answers'
    difference = signed(estimate(gain))
  return [
    share,
    guards,
    learnt,
    f'{entry["artefact"]:.1%}',
    f'{entry["marked"]:.1%}',
    f'{entry["auprc"]:.3f}',
    difference,
    f'{entry["auprc_plain"]:.3f}',
    f'{entry["flagged"]:.0%}',
    f'{entry["flagged_sick"]:.0%}',
  ]


def sections(records: Sequence[Mapping[str, Any]]) -> list[str]:
  """Writes the parts of the page about streams, one for each record."""
  parts = []
  for record in records:
    facts = {name: value for name, value in record.items() if name != 'rows'}
    before = record['rows'][0]['heads']
    parts.append(INTRODUCTION.format(**facts))
    parts.append(
      markdown(HEAD, [row(entry, before) for entry in record['rows']]) + '\n'
    )
  return parts
