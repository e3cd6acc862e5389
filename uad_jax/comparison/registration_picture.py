"""Figure of the uniform and the gated field over their stiffnesses, from a record."""

from collections.abc import Mapping
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from uad_jax.comparison.field.rows import NO_FIELD, TRUE_MASK, UNCERTAIN
from uad_jax.report.figures import DPI, png

PANELS = (
  ('hrr', 'rkr', 'healthy residual removed (HRR)', 'lesion residual kept (RKR)'),
  ('ventricle_dice', 'auprc', 'ventricle Dice', 'AUPRC'),
)
"""Metrics and labels of the horizontal and the vertical axis of each panel."""

UNLABELLED = ('hrr', 'auprc', PANELS[0][2], 'AUPRC')
"""The second panel of data without labels of the ventricles."""

CURVES = {'uniform, ': 'C0', 'gated, ': 'C3'}
"""Colour by the beginning of the names of the rows of a curve."""


def curve(
  record: Mapping[str, Any], start: str, metrics: tuple[str, str]
) -> list[tuple[float, float, str]]:
  """Lists the points of a curve: two metrics, and the stiffness as in the row's name.

  Rows in which a metric is undefined are left out.

  Args:
    record: Record of the study.
    start: Beginning of the names of the rows.
    metrics: Names of the horizontal and the vertical metric.
  """
  points = []
  beside = {UNCERTAIN} - {start}  # a point, and not of the curve
  for name, numbers in record['rows'].items():
    values = [numbers.get(metric, {}).get('value') for metric in metrics]
    if name.startswith(start) and name not in beside and None not in values:
      points.append((*values, name.removeprefix(start)))
  return points


def picture(record: Mapping[str, Any]) -> bytes:
  """Draws both curves of a record as PNG.

  The first panel has the residual in healthy brain and in lesions, the second the
  quality of the registration and of the detection; a field is better the further it
  lies to the upper right. Numbers beside the points are stiffnesses.

  Args:
    record: Record of the study, see `registration_study`.
  """
  figure = Figure((8.4, 3.6), dpi=DPI, layout='constrained')
  FigureCanvasAgg(figure)
  labelled = curve(record, 'uniform, ', PANELS[1][:2])
  panels = PANELS if labelled else (PANELS[0], UNLABELLED)
  for ax, (x, y, right, up) in zip(figure.subplots(1, 2), panels, strict=True):
    for start, colour in CURVES.items():
      points = curve(record, start, (x, y))
      if points:
        across, along, names = zip(*points, strict=True)
        ax.plot(across, along, 'o-', color=colour, label=start.strip(', '))
        for place in zip(across, along, names, strict=True):
          ax.annotate(place[2], place[:2], (3, 3), textcoords='offset points', size=7)
    for name, mark in ((TRUE_MASK, '*'), (NO_FIELD, 's'), (UNCERTAIN, 'D')):
      for across, along, _ in curve(record, name, (x, y)):
        ax.plot(across, along, mark, color='0.3', label=name)
    ax.set(xlabel=right, ylabel=up)
    if ax.get_legend_handles_labels()[0]:
      ax.legend()
  return png(figure)
