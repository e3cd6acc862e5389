"""Functions that draw an example slice as a row of pictures, such as its anomaly map.

The pictures of a row are called panels. Neurological orientation: arrays are [x, y]
with x to the subject's right and y to the front, so x runs to the right of the page and
y up. The functions that draw a panel take the axes, the example slice, and the limits
(lowest and highest score) of the colour scale.
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
  """Returns a function that draws one array of an example slice as a grey picture.

  The grey scale is that of the slice's image.

  Args:
    name: Name of the array in `case.panels`, such as 'reconstruction'.
  """

  def draw(ax, case, limits):
    ax.imshow(upright(case.panels[name]), 'gray', **window(case))

  return draw


def gate(ax: Axes, case: Case, limits: tuple) -> None:
  """Draws the gate, the map in which a registration method marks suspected lesions.

  The gate is closed (0, dark) in normal tissue and open (1, bright) at suspected
  lesions. It is drawn inside the brain.
  """
  inside = np.where(case.panels['mask'] > 0, case.panels['gate'], np.nan)
  ax.imshow(upright(inside), 'viridis', vmin=0, vmax=1, origin='lower')


def deformation(ax: Axes, case: Case, limits: tuple) -> None:
  """Draws the displacement field of an example slice as a deformed grid.

  A node p of the grid is drawn at p + u(p), with the displacement u. That is the point
  of the prior image that gives the reconstruction its value at p.
  """
  base = 'reconstruction' if 'reconstruction' in case.panels else 'image'
  ax.imshow(upright(case.panels[base]), 'gray', alpha=0.45, **window(case))
  field = np.asarray(case.panels['displacement'], np.float32)
  nodes = np.stack(np.indices(field.shape[:2]), -1) + field
  x_low, x_high, y_low, y_high = frame(case)
  spacing = max((x_high - x_low) // 14, 2)
  style = {'color': GRID, 'linewidth': 0.7}
  for x in range(x_low, x_high, spacing):
    ax.plot(*nodes[x, y_low:y_high].T, **style)
  for y in range(y_low, y_high, spacing):
    ax.plot(*nodes[x_low:x_high, y].T, **style)


def anomaly(ax: Axes, case: Case, limits: tuple) -> None:
  """Draws the anomaly map of an example slice, inside the brain mask, in colours.

  It is the default anomaly map; `limits` are the ends of the colour scale.
  """
  scores = np.where(case.panels['mask'] > 0, case.panels['map'], np.nan)
  low, high = limits
  ax.imshow(upright(scores), 'inferno', vmin=low, vmax=high, origin='lower')


def truth(ax: Axes, case: Case, limits: tuple) -> None:
  """Draws the true lesion as a filled area, and the detected lesion as an outline.

  A lesion is detected at the threshold that 5 % of healthy validation voxels reach.
  """
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
  """Returns the names of the pictures that can be drawn for all example slices.

  Returns:
    Keys of COLUMNS.
  """
  return [k for k in COLUMNS if k == 'truth' or all(k in c.panels for c in cases)]


def upright(panel: np.ndarray) -> np.ndarray:
  """Transposes a slice so that `imshow`, with the origin 'lower', shows it upright.

  The slice is [X, Y], or [X, Y, C], of which the first channel is used; the result is
  [rows, columns].
  """
  panel = np.asarray(panel)
  plane = panel[..., 0] if panel.ndim == 3 else panel
  return plane.T if plane.dtype == bool else plane.T.astype(np.float32)


def window(case: Case) -> dict:
  """Chooses the lowest and highest intensity of a slice's grey scale, for `imshow`.

  The lowest is 0, or the 0.2 % quantile in the brain if that is negative; the highest
  is the 99.8 % quantile.

  Returns:
    Arguments of `imshow`.
  """
  inside = np.asarray(case.panels['image'], np.float32)[case.panels['mask'] > 0]
  low = min(0.0, float(np.quantile(inside, 0.002)))
  return {'vmin': low, 'vmax': float(np.quantile(inside, 0.998)), 'origin': 'lower'}


def frame(case: Case) -> tuple[int, int, int, int]:
  """Computes the bounding box of a slice's brain mask with a margin, in voxels.

  Returns:
    Left and right end along x, low and high end along y; the right and high ends are
    exclusive.
  """
  brain = case.panels['mask'][..., 0] > 0
  ends = []
  for axis in (1, 0):
    where = np.flatnonzero(brain.any(axis))
    size = brain.shape[1 - axis]
    ends += [max(where[0] - MARGIN, 0), min(where[-1] + MARGIN + 1, size)]
  return tuple(int(end) for end in ends)


def strip(case: Case, shown: list[str], limits: tuple[float, float]) -> bytes:
  """Draws the pictures of one example slice side by side, as PNG bytes.

  Args:
    case: The example slice.
    shown: Names of the panels, keys of COLUMNS.
    limits: Lowest and highest score of the colour scale.
  """
  x_low, x_high, y_low, y_high = frame(case)
  height = PANEL_INCHES * (y_high - y_low) / (x_high - x_low)
  figure = Figure((PANEL_INCHES * len(shown), height), dpi=150, facecolor='black')
  FigureCanvasAgg(figure)
  for index, name in enumerate(shown):
    ax = figure.add_axes((index / len(shown), 0, 1 / len(shown), 1))
    ax.set_axis_off()
    COLUMNS[name][1](ax, case, limits)
    ax.set(
      xlim=(x_low - 0.5, x_high - 0.5),
      ylim=(y_low - 0.5, y_high - 0.5),
      aspect='auto',
    )
  return png(figure, facecolor='black')
