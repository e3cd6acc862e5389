"""Function that renders what methods gain by knowing that lesions are bright."""

from collections.abc import Sequence

from uad_jax.comparison.paired_differences import signed
from uad_jax.comparison.patient_tables import by_method
from uad_jax.comparison.records import Record, patient_gap
from uad_jax.comparison.seed_means import averaged
from uad_jax.report.tables import cell, markdown

METRIC = 'auprc'
"""The compared metric, a key of `patient_groups.METRICS`."""

NOTE = (
  'AUPRC of the scans with lesions (their voxels together) with `data.polarity` bright '
  'and both, and the paired difference. The map of each row was chosen on validation '
  'data. Methods that paint synthetic lesions (`cold_diffusion`, `disyre`, '
  '`rectified_flow`, `dae_unc`) are trained twice, the others once: only their scores '
  'know the polarity.'
)


def table(bright: Sequence[Record], both_signs: Sequence[Record]) -> str:
  """Renders the Markdown table of all methods with and without the polarity.

  Args:
    bright: Records of the suite in which lesions are known to be bright.
    both_signs: Records of the same suite with the polarity 'both'.

  Returns:
    The table with a note; '' if no method has runs of one seed in both.
  """
  others = by_method(both_signs)
  rows = []
  for name, members in by_method(bright).items():
    pairs = [
      (a, b) for a in members for b in others.get(name, ()) if a.seeds == b.seeds
    ]
    gaps = [patient_gap(a, b, METRIC) for a, b in pairs]
    if not pairs or not all(gaps):
      continue
    cells = [name]
    for runs in zip(*pairs, strict=True):  # with the polarity, then without
      mean = averaged([(run.patients[METRIC], 1) for run in runs])
      cells += [', '.join(dict.fromkeys(run.default for run in runs)), cell(mean, True)]
    rows.append([*cells, signed(averaged([(gap, 1) for gap in gaps])), str(len(pairs))])
  if not rows:
    return ''
  head = ['method', 'map, bright', 'bright', 'map, both', 'both', 'difference', 'seeds']
  return f'### With and without the polarity\n\n{NOTE}\n\n{markdown(head, rows)}\n'
