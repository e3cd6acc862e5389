"""Functions that draw the figures of the evaluation report, as PNGs in one style."""

import io
import json
from collections.abc import Mapping
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from uad_jax.evaluation import histogram
from uad_jax.evaluation.sample import Sample

INK, QUIET, RULE = '#18212b', '#6b7785', '#dfe4ea'
ACCENT, LESION, HEALTHY = '#0b7285', '#e8590c', '#5c7cfa'
PALETTE = (
  ACCENT, '#e8590c', '#5c7cfa', '#ae3ec9', '#2b8a3e', '#e6a700', '#868e96', '#c2255c',
)  # fmt: skip
DECADES = 100
"""Positive scores that span more than this factor are drawn on a logarithmic axis."""
STYLE = {
  'font.size': 9,
  'font.family': 'sans-serif',
  'text.color': INK,
  'axes.edgecolor': QUIET,
  'axes.labelcolor': INK,
  'axes.linewidth': 0.8,
  'axes.spines.top': False,
  'axes.spines.right': False,
  'axes.grid': True,
  'axes.axisbelow': True,
  'grid.color': RULE,
  'grid.linewidth': 0.6,
  'xtick.color': QUIET,
  'ytick.color': QUIET,
  'xtick.labelcolor': INK,
  'ytick.labelcolor': INK,
  'legend.frameon': False,
  'legend.fontsize': 8,
}
DPI = 160
CHOSEN, OTHER = dict(linewidth=2.2, zorder=3), dict(linewidth=1.2, zorder=2)
"""Line styles: the curve of the default scorer, and those of the other scorers."""


def png(figure: Figure, **options) -> bytes:
  """Renders a Matplotlib figure to PNG bytes.

  `options` are passed to `figure.savefig`.
  """
  stream = io.BytesIO()
  # Without the version in the metadata, the same numbers give the same bytes.
  figure.savefig(stream, format='png', metadata={'Software': None}, **options)
  return stream.getvalue()


def axes(width: float = 5.2, height: float = 3.4):
  """Creates a Matplotlib figure with a single axes, without the global state of pyplot.

  Args:
    width: Width in inches.
    height: Height in inches.

  Returns:
    The figure and its axes.
  """
  figure = Figure((width, height), dpi=DPI, layout='constrained')
  FigureCanvasAgg(figure)
  return figure, figure.add_subplot()


def plain_log(axis: Axis) -> None:
  """Labels a logarithmic axis with plain numbers at 1, 2 and 5 of each decade."""
  axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
  axis.set_major_formatter(FuncFormatter(lambda value, _: f'{value:g}'))
  axis.set_minor_formatter(NullFormatter())


@matplotlib.rc_context(STYLE)
def precision_recall(
  samples: Mapping[str, Sample], default: str, auprc: Mapping[str, float]
) -> bytes:
  """Draws the precision-recall curve of each scorer; the dashed line is chance.

  Args:
    samples: Counts and values per scan, by scorer; the voxels of all scans are pooled.
    default: Scorer of the default anomaly map.
    auprc: AUPRC by scorer, for the legend.
  """
  figure, ax = axes()
  order = [default, *(name for name in samples if name != default)]
  for index, name in enumerate(order):
    sample = samples[name]
    precision, recall = histogram.precision_recall(
      sample.healthy.sum(0), sample.lesion.sum(0)
    )
    line = CHOSEN if default == name else OTHER
    ax.step(
      recall,
      precision,
      where='pre',
      color=PALETTE[index % len(PALETTE)],
      **line,
      label=f'{name}  {auprc[name]:.3f}',
    )
  lesion, healthy = sample.lesion.sum(), sample.healthy.sum()
  ax.axhline(lesion / (lesion + healthy), color=QUIET, linestyle='--', linewidth=1)
  ax.set(xlim=(0, 1), ylim=(0, 1.02), xlabel='recall', ylabel='precision')
  ax.legend(title='AUPRC', title_fontsize=8, alignment='left', loc='upper right')
  return png(figure)


@matplotlib.rc_context(STYLE)
def scores(sample: Sample, thresholds: Mapping[str, float]) -> bytes:
  """Draws the densities of the anomaly score in healthy voxels and in lesion voxels.

  Args:
    sample: Counts and values per scan of the scorer.
    thresholds: Thresholds to mark, by percentage of healthy validation voxels.
  """
  healthy, lesion = sample.healthy.sum(0), sample.lesion.sum(0)
  low = _quantile(sample.edges, healthy, 0.0005)
  high = max(_quantile(sample.edges, c, 0.995) for c in (healthy, lesion) if c.any())
  high = max(high, *thresholds.values())
  high = high if high > low else low + 1
  wide = 0 < DECADES * low < high
  bins = np.geomspace(low, high, 70) if wide else np.linspace(low, high, 70)
  width = np.diff(np.log10(bins) if wide else bins)
  figure, ax = axes()
  for counts, colour, label in (
    (healthy, HEALTHY, 'healthy voxels'),
    (lesion, LESION, 'lesion voxels'),
  ):
    if not counts.any():
      continue
    # The sample's bins are narrow where scores are dense: spread each evenly over its
    # width before drawing, or steps in the density would be steps of the binning.
    share = np.append(0, np.cumsum(counts)) / counts.sum()
    ends = np.append(sample.edges, max(high, sample.edges[-1]))
    density = np.diff(np.interp(bins, ends, share)) / width
    ax.stairs(density, bins, fill=True, color=colour, alpha=0.25)
    ax.stairs(density, bins, color=colour, linewidth=1.4, label=label)
  top = ax.get_ylim()[1]
  for percent, threshold in thresholds.items():
    if np.isfinite(threshold):
      ax.axvline(threshold, color=INK, linewidth=0.8, linestyle=':')
      ax.text(threshold, top, f'{percent} % ', va='top', ha='right', fontsize=7)
  ax.set(xlabel='anomaly score', ylim=(0, top), xlim=bins[[0, -1]])
  ax.set_ylabel('density, per decade' if wide else 'density')
  ax.set_xscale('log' if wide else 'linear')
  ax.legend(loc='upper right')
  return png(figure)


def _quantile(edges: np.ndarray, counts: np.ndarray, q: float) -> float:
  """Lower edge of the bin that holds the quantile `q` of the counts."""
  share = np.cumsum(counts) / max(counts.sum(), 1)
  return float(edges[min(np.searchsorted(share, q), len(edges) - 1)])


def display_range(sample: Sample) -> tuple[float, float]:
  """Chooses the lowest and highest score of the colour scale for the example slices.

  They are the median of the healthy voxels and their 99.9 % quantile or, if higher, the
  90 % quantile of the lesion voxels.
  """
  healthy, lesion = sample.healthy.sum(0), sample.lesion.sum(0)
  low = _quantile(sample.edges, healthy, 0.5)
  high = max(
    _quantile(sample.edges, c, q) for c, q in ((healthy, 0.999), (lesion, 0.9))
  )
  return low, high if high > low else low + 1


@matplotlib.rc_context(STYLE)
def groups(estimates: Mapping[str, Mapping], label: str) -> bytes:
  """Draws a dot plot of one metric, with its interval, for several groups of scans.

  Args:
    estimates: Estimates {'value': v, 'interval': [low, high]} by name of the group.
    label: Label of the value axis.
  """
  figure, ax = axes(5.2, 0.9 + 0.42 * len(estimates))
  for row, estimate in enumerate(estimates.values()):
    low, high = estimate['interval']
    if low is not None:
      ax.plot([low, high], [row, row], color=ACCENT, linewidth=2, alpha=0.45)
    ax.plot(estimate['value'], row, 'o', color=ACCENT, markersize=6)
  ax.set(xlabel=label, xlim=(0, None), ylim=(len(estimates) - 0.5, -0.5))
  ax.set_yticks(range(len(estimates)), list(estimates))
  ax.tick_params(axis='y', length=0)
  ax.spines['left'].set_visible(False)
  ax.grid(axis='y', visible=False)
  return png(figure)


@matplotlib.rc_context(STYLE)
def by_volume(subjects: list[Mapping], default: str) -> bytes:
  """Draws a scatter plot of AUPRC against lesion volume, with a point for each scan.

  Args:
    subjects: Rows of subjects.csv.
    default: Scorer of the default anomaly map.
  """
  figure, ax = axes()
  sick = [r for r in subjects if r['scorer'] == default and r['positives']]
  for index, pathology in enumerate(sorted({r['pathology'] for r in sick})):
    scans = [r for r in sick if r['pathology'] == pathology]
    volume = [r['positives'] * r['voxel_ml'] for r in scans]
    colour = PALETTE[index % len(PALETTE)]
    ax.scatter(
      volume, [r['auprc'] for r in scans], 26, colour, alpha=0.75, lw=0, label=pathology
    )
  ax.set(xscale='log', ylim=(0, 1.02), xlabel='lesion volume [ml]', ylabel='AUPRC')
  plain_log(ax.xaxis)
  ax.legend(loc='best')
  return png(figure)


def training_records(path: Path) -> list[dict]:
  """Reads the logged training metrics from metrics.jsonl and skips incomplete lines."""
  records = []
  for line in path.read_text().splitlines():
    try:
      record = json.loads(line)
    except json.JSONDecodeError:
      continue
    if isinstance(record, dict) and 'step' in record:
      records.append(record)
  return records


@matplotlib.rc_context(STYLE)
def training(records: list[dict]) -> bytes | None:
  """Draws the curves of all training losses; returns None if no loss was logged.

  Args:
    records: Lines of metrics.jsonl.
  """
  names = dict.fromkeys(k for r in records for k in r if k.endswith('/loss'))
  if not names:
    return None
  figure, ax = axes()
  values = []
  for index, name in enumerate(names):
    curve = [(r['step'], r[name]) for r in records if r.get(name) is not None]
    steps, losses = np.array(curve, float).T
    values.append(losses)
    colour = PALETTE[index % len(PALETTE)]
    ax.plot(steps, losses, color=colour, lw=1.5, label=name.removesuffix('/loss'))
  if np.concatenate(values).min() > 0:
    ax.set_yscale('log')
    plain_log(ax.yaxis)
  ax.set(xlabel='step', ylabel='loss')
  ax.legend(loc='best')
  return png(figure)
