"""Functions that draw a healthy head of each scanner with the maps of several runs."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from uad_jax.comparison import blind_spot_run
from uad_jax.evaluation.measure import scored
from uad_jax.evaluation.scans import scan_name
from uad_jax.report.figures import png
from uad_jax.report.pictures import upright

PANEL = 1.7
"""Size of a panel, inches."""

FORM = {'origin': 'lower', 'interpolation': 'nearest'}
"""Options of a panel."""


class Row(NamedTuple):
  """Healthy scan of one scanner, as a run sees it.

  Attributes:
    label: Text beside the row.
    image: Slice through the middle of the brain, [X, Y].
    scores: Anomaly map of the slice, [X, Y].
    brain: Brain mask of the slice, [X, Y] bool.
    threshold: Threshold of 5 % of the source run.
    marked: Share of the brain that the scan has at or above it.
  """

  label: str
  image: np.ndarray
  scores: np.ndarray
  brain: np.ndarray
  threshold: float
  marked: float


def healthy_rows(runs: Mapping[str, pathlib.Path], where: str) -> list[Row]:
  """Infers a healthy test scan of a folder by several runs.

  It is the scan of which the first run marks the median share of the brain.

  Args:
    runs: Run folders by the text beside their rows.
    where: Folder of scans with a split 'test'.
  """
  rows, chosen = [], None
  for label, run in runs.items():
    of_run = _rows(label, run, where, chosen)
    if chosen is None:
      order = sorted(of_run, key=lambda name: of_run[name].marked)
      chosen = {order[len(order) // 2]}
    rows += [of_run[name] for name in chosen]
  return rows


def _rows(label: str, run: pathlib.Path, where: str, wanted) -> dict[str, Row]:
  """The rows of the wanted healthy test scans, or of all for None, by scan."""
  studied = blind_spot_run.open_studied(run)
  reader, split = blind_spot_run.open_scans(studied.opened, where)
  records = reader(split)
  table = [records[i] for i in range(len(records))]
  sick = {scan_name(row) for row in table if row['lesion'].any()}
  names = wanted or {scan_name(row) for row in table} - sick
  batches, rows = blind_spot_run.batches(studied, records, names), {}
  for scan, _ in blind_spot_run.inferred_scans(studied, batches, label):
    scores, brain = scored(scan, studied.scorer, studied.chain)
    share = float((scores[brain] >= studied.threshold).mean())
    middle = int(brain.sum((0, 1)).argmax())
    image = scan.arrays['image'][:, :, middle, 0]
    planes = image, scores[:, :, middle], brain[:, :, middle]
    rows[scan.name] = Row(label, *planes, studied.threshold, share)
  return rows


def picture(rows: Sequence[Row]) -> bytes:
  """Draws the rows: scan, anomaly map and the voxels at or above the threshold.

  Args:
    rows: Rows from `healthy_rows`, of any number of scanners.

  Returns:
    The picture as PNG.
  """
  figure = Figure((PANEL * len(rows), 3 * PANEL + 0.5), layout='constrained')
  FigureCanvasAgg(figure)
  axes = figure.subplots(3, len(rows), squeeze=False)
  for column, row in zip(axes.T, rows, strict=True):
    marked = np.where(row.brain & (row.scores >= row.threshold), 1.0, np.nan)
    shown = np.where(row.brain, row.image, 0)
    high = 4 * row.threshold
    column[0].imshow(upright(shown), cmap='gray', **FORM)
    column[1].imshow(
      upright(row.scores * row.brain), cmap='inferno', vmin=0, vmax=high, **FORM
    )
    column[2].imshow(upright(shown), cmap='gray', **FORM)
    column[2].imshow(upright(marked), cmap='autumn', vmin=0, vmax=1, alpha=0.8, **FORM)
    column[0].set_title(f'{row.label}\n{100 * row.marked:.1f} % marked', fontsize=7)
    for panel in column:
      panel.axis('off')
  return png(figure)
