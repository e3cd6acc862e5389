"""Functions that write docs/registration.md from the records of the study."""

import pathlib
import re
from collections.abc import Mapping
from typing import Any

from uad_jax.comparison import registration_claims
from uad_jax.comparison.paired_differences import signed
from uad_jax.comparison.record_lines import read
from uad_jax.report.tables import cell, markdown

NAME = 'registration.jsonl'
"""File of the records, in docs/runs."""

COLUMNS = {
  'AUPRC': 'auprc',
  'mean of scans': 'subject_auprc',
  'Dice @1%': 'dice_at_1',
  'Dice @5%': 'dice_at_5',
  'DLR': 'dlr',
  'RKR': 'rkr',
  'HRR': 'hrr',
  'CFE': 'cfe',
  'ventricle Dice': 'ventricle_dice',
  'folded': 'folding_fraction',
  'healthy open': 'gate_healthy_open',
  'lesion open': 'gate_lesion_recall',
}
"""Columns of the table of rows, after those of the pathologies."""

INTRODUCTION = """# Registration at test time, and what its gate is worth

Written by `python -m uad_jax.comparison --render` from the records in docs/runs.

The method `moment_registration` warps the mean and variance of healthy scans to each
scan. It has no network, so that nothing but the field can make the difference. All rows
below have the same anomaly map T, the residual at two scales (Gaussians of 1 and 2
voxels), each in its own healthy deviation (`uad_jax/ops/scale_space.py`), without
post-processing; thresholds are set on healthy validation scans, row by row. The healthy
deviations of rows with a field are those of the uniform field of the training.

- *no field*: the moments of the scans as they are
- *uniform, L*: every voxel counts, at the stiffness L
- *gated, L*: voxels far from the expectation count less (weights of a Student t of T)
- *gated, uncertain*: the same, and residuals count in units of the variance that also
  holds that of the registration (draws around its solution)
- *switch*: g T(no field) + (1 - g) T(uniform) with the same gate g, and no gated field
- *permuted gate*, *random blobs*, *inverted gate*, *raw residual*: gates that hide as
  much (but the inverted one) at other places
- *true mask*, *field of the twin*: what a perfect gate, and a field that never saw the
  lesion, would reach

Numbers have 95 % bootstrap intervals over subjects. *DLR* is the strain in the lesion
over that in healthy brain (below 1: lesions are deformed less), *RKR* the share of the
lesion's residual that the field leaves, *HRR* the share of the healthy residual that it
removes, *CFE* the distance in voxels between the field and that of the lesion-free twin
at the lesion. *Open* is the share of voxels with a gate above 0.5.
"""

TESTS = """## Tests that a gate has to pass

- *T1, formulas*: tests/registration: the energy of VoxelMorph (`test_regularise`), a
  closed gate is the uniform field (`test_energy`), known fields and the minimum of the
  energy (`test_gauss_newton`), inverse and mirrored fields (`test_flow`,
  `test_regularise`).
- *T2, phantom*: tests/science/test_gated_registration.py (slow).
- *T3, dose response*: "Dose response" of each data set.
- *T4, twins*: CFE, RKR and HRR of each row.
- *T5, known variability*: "Known fields".
- *T6, ageing*: "Age". No subject here has ventricles beyond the healthy range, so that
  hydrocephalus cannot be tested.
- *T7, negative controls*: the rows *switch* to *raw residual*, and "Against each other
  row".
- *T8, all stiffnesses*: the figures, and the rows *uniform* and *gated*.
- *T9, size, contrast, place*: "Lesions by kind", and AUPRC by pathology. Mass effect is
  not tested: the inserted lesions do not push.
- *T10, real lesions*: data sets with patients among those below; T1 scans of patients
  with masks are four (`ms_t1_flair`), too few for an interval.
- *T11, selection*: settings were chosen on validation heads (findings.md, "Registration
  at test time"); thresholds are set on healthy validation scans.
- *T12, topology and time*: the column *folded*; seconds a head by
  `python -m benchmarks.test_time_registration`.
"""

ROWS = """## {target}

`{method}`, seed {seed}; {scans} test scans, {sick} of them with lesions; {validation}
healthy validation scans set the thresholds. Stiffness {stiffness:g} where a row names
none.
"""

DIFFERENCES = """### Against each other row: {target}

AUPRC of *gated, {stiffness:g}* minus that of the row, paired over subjects; expanded
percentile intervals for few subjects (Hesterberg 2015), p-values after Holm. No p is
below that of a single resample, which Holm multiplies: read the intervals.
"""

LESIONS = """### Lesions by kind: {target}

Mean share of a lesion's voxels that is marked at the threshold of 5 %, over lesions
(connected components). *Near* lesions lie within 4 voxels of the edge of the brain or
of a ventricle, *faint* ones differ from the twin by less than 0.05 of the intensity
range, *strong* ones by more than 0.15.
"""

KNOWN = """### Known fields: {target}

Healthy test scans are deformed by a known field psi, random or inflating the ventricles
(*growth* of their volume); *endpoint error* is the distance in voxels between the field
that is found and the field before, followed by psi. *Size* is the largest velocity in
voxels.
"""

AGE = """### Age: {target}

Spearman's rank correlation with age over {subjects} healthy test subjects.
"""

DOSE = """### Dose response: {target}

Strain in the lesions under the true mask times a height as the gate.
"""


def figure_of(target: str) -> str:
  """Returns the path of the figure of a target, relative to the page."""
  return f'figures/registration-{re.sub("[/, ]+", "-", target)}.png'


def rows_table(record: Mapping[str, Any]) -> str:
  """Writes the table of rows of a record."""
  kinds = [
    name
    for name in next(iter(record['rows'].values()))
    if name not in COLUMNS.values() and name != 'oracle_dice'
  ]
  columns = {**COLUMNS, **{f'AUPRC, {kind}': kind for kind in kinds}}
  order = ['AUPRC', *(name for name in columns if name.startswith('AUPRC, '))]
  order += [name for name in columns if name not in order]
  lines = [
    [
      row,
      *(cell(numbers.get(columns[name]), name == 'AUPRC') for name in order),
    ]
    for row, numbers in record['rows'].items()
  ]
  return markdown(['row', *order], lines)


def differences_table(record: Mapping[str, Any]) -> str:
  """Writes the paired differences of a record."""
  lines = []
  for row, entry in record['differences'].items():
    lines.append([row, signed(entry), f'{entry["p"]:.3f}', f'{entry["holm"]:.3f}'])
  return markdown(['row', 'difference', 'p', 'p, Holm'], lines)


def lesions_table(record: Mapping[str, Any]) -> str:
  """Writes the recall of lesions by kind of a record."""
  rows = record['lesions']
  first = next(iter(rows.values()))
  head = [f'{kind} ({entry["lesions"]})' for kind, entry in first.items()]
  lines = [
    [row, *(f'{kinds[kind]["recall"]:.2f}' for kind in first)]
    for row, kinds in rows.items()
  ]
  return markdown(['row', *head], lines)


def known_table(record: Mapping[str, Any]) -> str:
  """Writes the tests with known fields of a record."""
  head = ['field', 'size', 'row', 'endpoint error', 'gate', 'ventricle Dice', 'growth']
  lines = [
    [
      entry['kind'],
      f'{entry["size"]:g}',
      entry['row'],
      cell(entry['endpoint'], True),
      cell(entry['gate'], True),
      cell(entry.get('ventricle_dice'), True),
      f'{entry["growth"]:.2f}' if 'growth' in entry else '–',
    ]
    for entry in record['known']
  ]
  return markdown(head, lines)


def age_table(record: Mapping[str, Any]) -> str:
  """Writes the correlations with age of a record."""
  lines = [
    [row, quantity, cell(estimate, True)]
    for row, table in record['age'].items()
    if row != 'subjects'
    for quantity, estimate in table.items()
  ]
  return markdown(['row', 'quantity', 'rank correlation'], lines)


def section(record: Mapping[str, Any]) -> list[str]:
  """Writes the section of one record."""
  parts = [ROWS.format(**record), rows_table(record)]
  name = figure_of(record['target'])
  parts.append(f'![Uniform and gated fields over their stiffnesses]({name})')
  parts += [DIFFERENCES.format(**record), differences_table(record)]
  if record['lesions']:
    parts += [LESIONS.format(**record), lesions_table(record)]
  if record['known']:
    parts += [KNOWN.format(**record), known_table(record)]
  if record['age']:
    parts.append(AGE.format(target=record['target'], **record['age']))
    parts.append(age_table(record))
  if record['dose']:
    lines = [[f'{e["height"]:g}', cell(e['strain'], True)] for e in record['dose']]
    parts += [DOSE.format(**record), markdown(['height', 'strain'], lines)]
  return parts


def newest(folder: pathlib.Path) -> list[Mapping[str, Any]]:
  """Reads the last record of each method, seed and target.

  Args:
    folder: Folder of the stored records.
  """
  last = {
    tuple(entry[k] for k in ('method', 'seed', 'target')): entry
    for entry in read(folder / NAME)
  }
  return list(last.values())


def page(records: pathlib.Path) -> str:
  """Writes docs/registration.md.

  Args:
    records: Folder of the stored records.
  """
  entries = newest(records)
  sections = [part for record in entries for part in section(record)]
  claims = registration_claims.section(entries)
  parts = [INTRODUCTION, *claims, TESTS, *sections]
  return '\n'.join(f'{part.rstrip()}\n' for part in parts)
