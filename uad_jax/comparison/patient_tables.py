"""Functions that render the tables of docs/results.md about the patients with lesions.

They show each method on all patients and on groups of them (`patient_groups`).
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from uad_jax.comparison.paired_differences import signed
from uad_jax.comparison.records import Record, patient_gap
from uad_jax.comparison.seed_means import averaged
from uad_jax.report.tables import MISSING, cell, markdown

TITLES = {'auprc': 'AUPRC, voxels together', 'patient_auprc': 'AUPRC, mean of patients'}
"""Headings of the metrics of `patient_groups.METRICS`."""

NOTE = (
  'The scans with lesions alone, in the map that a run chose on validation data. '
  '*Voxels together*: all brain voxels of these scans are ranked as one, so that large '
  'lesions count most and the scores of different scans have to agree. *Mean of '
  'patients*: each scan is ranked for itself, and all count alike. The groups are '
  'thirds of these patients by a fact that does not depend on any method: volume of '
  'the lesion in the evaluated slice or volume, age (where known), and sharpness, the '
  'share of fine detail in the variation within the brain '
  '(`patient_groups.sharpness`).'
)


def by_method(records: Sequence[Record]) -> dict[str, list[Record]]:
  """Collects the records that hold metrics of the patients, by method."""
  methods = defaultdict(list)
  for record in records:
    if record.patients:
      methods[record.name].append(record)
  return methods


def averages(entries: Sequence[Mapping], metric: str) -> str:
  """Formats the mean over seeds of a metric with its interval."""
  return cell(averaged([(entry[metric], 1) for entry in entries]), True)


def overview(records: Sequence[Record]) -> str:
  """Renders the table of all methods on all patients with lesions."""
  rows = [
    [name, *(averages([r.patients for r in members], metric) for metric in TITLES)]
    + [str(len(members))]
    for name, members in by_method(records).items()
  ]
  return markdown(['method', *TITLES.values(), 'seeds'], rows)


def grouped(records: Sequence[Record], fact: str) -> str:
  """Renders the table of all methods on the thirds of the patients by one fact.

  Args:
    records: Records of one data set.
    fact: One of `patient_groups.FACTS`.

  Returns:
    The table; '' if no record has these groups.
  """
  methods = {
    name: [r.groups[fact] for r in members if fact in r.groups]
    for name, members in by_method(records).items()
  }
  methods = {name: members for name, members in methods.items() if members}
  if not methods:
    return ''
  first = next(iter(methods.values()))[0]
  head = [
    f'{part} ({first[part]["scans"]}): {title.removeprefix("AUPRC, ")}'
    for part in first
    for title in TITLES.values()
  ]
  rows = [
    [name]
    + [
      averages([member[part] for member in members], metric)
      for part in first
      for metric in TITLES
    ]
    for name, members in methods.items()
  ]
  return f'By {fact}, AUPRC:\n\n{markdown(["method", *head], rows)}'


def paired(records: Sequence[Record]) -> str:
  """Renders the table of paired differences on the patients with lesions.

  Methods with variants are compared with all methods of the same seed.

  Returns:
    The table; '' if there are no such methods.
  """
  rows = []
  for main in records:
    for other in records:
      if not main.rivals or other == main or other.variant or other.seeds != main.seeds:
        continue
      gaps = [patient_gap(main, other, metric) for metric in TITLES]
      if any(gaps):
        shown = [signed(gap) if gap else MISSING for gap in gaps]
        seed = str(main.seeds[0])
        rows.append([main.name, seed, f'{other.name} {other.default}', *shown])
  head = ['method', 'seed', 'against', *TITLES.values()]
  return f'Paired differences on these scans.\n\n{markdown(head, rows)}' if rows else ''


def section(records: Sequence[Record]) -> str:
  """Renders all tables about the patients with lesions.

  Returns:
    Markdown; '' if no record has groups of patients.
  """
  facts = dict.fromkeys(fact for record in records for fact in record.groups)
  if not facts:
    return ''
  groups = '\n\n'.join(grouped(records, fact) for fact in facts)
  folded = f'<details><summary>By group of patients</summary>\n\n{groups}\n\n</details>'
  parts = [
    '### Patients with lesions',
    NOTE,
    overview(records),
    paired(records),
    folded,
  ]
  return '\n\n'.join(part for part in parts if part)
