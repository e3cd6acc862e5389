"""One strip of pictures for a case: what the method saw, made and marked.

In neurological orientation: arrays are [x, y] with x to the patient's right and y to
the front, so x runs to the right of the page and y up.
"""

from collections.abc import Callable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from uad_jax.evaluation.cases import Case
from uad_jax.report.figures import LESION, png

GRID, DETECTION = '#66d9e8', '#22e0ff'
PANEL_INCHES = 1.7
MARGIN = 3  # voxels around the brain


def grey(name: str) -> Callable[[Axes, Case, tuple], None]:
  """Draws a panel in the grey scale of the case's image."""

  def draw(ax, case, limits):
    ax.imshow(upright(case.panels[name]), 'gray', **window(case))

  return draw


def gate(ax: Axes, case: Case, limits: tuple) -> None:
  """Closed is dark, open is bright."""
  inside = np.where(case.panels['mask'] > 0, case.panels['gate'], np.nan)
  ax.imshow(upright(inside), 'viridis', vmin=0, vmax=1, origin='lower')


def deformation(ax: Axes, case: Case, limits: tuple) -> None:
  """Where each node of a regular grid takes its value from, p + u(p)."""
  base = 'reconstruction' if 'reconstruction' in case.panels else 'image'
  ax.imshow(upright(case.panels[base]), 'gray', alpha=0.45, **window(case))
  field = np.asarray(case.panels['displacement'], np.float32)
  nodes = np.stack(np.indices(field.shape[:2]), -1) + field
  left, right, low, high = frame(case)
  spacing = max((right - left) // 14, 2)
  style = {'color': GRID, 'linewidth': 0.7}
  for x in range(left, right, spacing):
    ax.plot(*nodes[x, low:high].T, **style)
  for y in range(low, high, spacing):
    ax.plot(*nodes[left:right, y].T, **style)


def anomaly(ax: Axes, case: Case, limits: tuple) -> None:
  """The default map on the scale that all cases share."""
  scores = np.where(case.panels['mask'] > 0, case.panels['map'], np.nan)
  low, high = limits
  ax.imshow(upright(scores), 'inferno', vmin=low, vmax=high, origin='lower')


def truth(ax: Axes, case: Case, limits: tuple) -> None:
  """The lesion filled, the detection at the 5 % threshold outlined."""
  ax.imshow(upright(case.panels['image']), 'gray', **window(case))
  if 'lesion' in case.panels and case.panels['lesion'].any():
    lesion = upright(case.panels['lesion']).astype(float)
    ax.contourf(lesion, [0.5, 2], colors=[LESION], alpha=0.55)
    ax.contour(lesion, [0.5], colors=[LESION], linewidths=1)
  marked = case.panels['detection'] > 0
  if marked.any():
    ax.contour(upright(marked).astype(float), [0.5], colors=[DETECTION], linewidths=0.8)


COLUMNS = {
  'image': ('Image', grey('image')),
  'prior': ('Prior', grey('prior')),
  'reconstruction': ('Reconstruction', grey('reconstruction')),
  'gate': ('Gate', gate),
  'displacement': ('Deformation', deformation),
  'map': ('Anomaly map', anomaly),
  'truth': ('Truth, detection', truth),
}


def columns(cases: list[Case]) -> list[str]:
  """The columns that the cases have panels for."""
  return [k for k in COLUMNS if k == 'truth' or all(k in c.panels for c in cases)]


def upright(panel: np.ndarray) -> np.ndarray:
  """[X, Y(, C)] to [rows, columns] with y up, for imshow(origin='lower')."""
  panel = np.asarray(panel)
  plane = panel[..., 0] if panel.ndim == 3 else panel
  return plane.T if plane.dtype == bool else plane.T.astype(np.float32)


def window(case: Case) -> dict:
  """The grey scale: 0 to nearly the brightest voxel of the brain."""
  inside = np.asarray(case.panels['image'], np.float32)[case.panels['mask'] > 0]
  low = min(0.0, float(np.quantile(inside, 0.002)))
  return {'vmin': low, 'vmax': float(np.quantile(inside, 0.998)), 'origin': 'lower'}


def frame(case: Case) -> tuple[int, int, int, int]:
  """Left, right, low, high of the brain with a margin, in voxels."""
  brain = case.panels['mask'][..., 0] > 0
  ends = []
  for axis in (1, 0):
    where = np.flatnonzero(brain.any(axis))
    size = brain.shape[1 - axis]
    ends += [max(where[0] - MARGIN, 0), min(where[-1] + MARGIN + 1, size)]
  return tuple(int(end) for end in ends)


def strip(case: Case, shown: list[str], limits: tuple[float, float]) -> bytes:
  """The case's pictures side by side, as a PNG.

  Args:
    case: The case.
    shown: Keys of COLUMNS.
    limits: Lowest and highest score of the colour scale.
  """
  left, right, low, high = frame(case)
  tall = PANEL_INCHES * (high - low) / (right - left)
  figure = Figure((PANEL_INCHES * len(shown), tall), dpi=150, facecolor='black')
  FigureCanvasAgg(figure)
  for index, name in enumerate(shown):
    ax = figure.add_axes((index / len(shown), 0, 1 / len(shown), 1))
    ax.set_axis_off()
    COLUMNS[name][1](ax, case, limits)
    ax.set(xlim=(left - 0.5, right - 0.5), ylim=(low - 0.5, high - 0.5), aspect='auto')
  return png(figure, facecolor='black')
