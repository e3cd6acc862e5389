"""Section of report.html about uncertainties: its figure and the rows of its table."""

from collections.abc import Mapping

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from uad_jax.report.figures import DPI, PALETTE, QUIET, STYLE, plain_log, png

COLUMNS = (
  ('ence_healthy', 'ENCE'),
  ('coverage_error_healthy', 'Coverage error'),
  ('ence_healthy_scale', 'ENCE, scaled'),
  ('ence_healthy_group', 'ENCE, scaled by tissue'),
  ('ence_healthy_isotonic', 'ENCE, isotonic'),
  ('coverage_error_healthy_conformal', 'Coverage error, conformal'),
  ('ause_healthy', 'AUSE'),
  ('aurg_healthy', 'AURG'),
  ('rank_healthy', 'Rank, healthy'),
  ('rank_lesion', 'Rank, lesions'),
)
"""Metrics of the table with their headings."""


def shown_columns(uncertainty: Mapping[str, Mapping]) -> list[tuple[str, str]]:
  """Selects the columns of the table that some uncertainty has a value for.

  Args:
    uncertainty: Entry 'uncertainty' of results.json.
  """
  known = {metric for entry in uncertainty.values() for metric in entry['metrics']}
  return [column for column in COLUMNS if column[0] in known]


@matplotlib.rc_context(STYLE)
def figure(uncertainty: Mapping[str, Mapping]) -> bytes:
  """Draws errors over predicted deviations, and sparsification curves.

  Left the root mean squared error in bins of the predicted deviation; right the error
  that is left when the most uncertain voxels are removed, dotted that of the oracle.
  Bins with less than 0.1 % of the voxels are not drawn.

  Args:
    uncertainty: Entry 'uncertainty' of results.json, with one entry or more.
  """
  drawing = Figure((10.4, 3.6), dpi=DPI, layout='constrained')
  FigureCanvasAgg(drawing)
  sizes, curves = drawing.subplots(1, 2)
  ends = []
  for index, (name, entry) in enumerate(uncertainty.items()):
    colour, table = PALETTE[index % len(PALETTE)], entry['reliability']
    count = np.array(table['count'])
    used = (count >= 1e-3 * count.sum()) & (np.array(table['error']) > 0)
    deviation, error = (np.array(table[key])[used] for key in ('deviation', 'error'))
    sizes.plot(deviation, error, 'o-', color=colour, lw=1.4, ms=3, label=name)
    ends += [*deviation, *error]
    curve = entry['sparsification']
    curves.plot(curve['removed'], curve['error'], color=colour, lw=1.6, label=name)
    curves.plot(curve['removed'], curve['oracle'], color=colour, lw=1, ls=':')
  limits = 0.8 * min(ends), 1.25 * max(ends)
  sizes.plot(limits, limits, color=QUIET, ls='--', lw=1)
  sizes.set(
    xscale='log',
    yscale='log',
    ylim=limits,
    xlabel='predicted deviation',
    ylabel='root mean squared error',
  )
  for axis in (sizes.xaxis, sizes.yaxis):
    plain_log(axis)
  curves.axhline(1, color=QUIET, ls='--', lw=1)
  curves.set(
    xlim=(0, 1),
    ylim=(0, None),
    xlabel='share of the most uncertain voxels removed',
    ylabel='error left, relative',
  )
  sizes.legend(loc='best')
  return png(drawing)
