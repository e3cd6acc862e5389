"""Functions that draw one picture with the results of all methods on the same slices.

It shows the input, the true lesion, and each method's reconstruction and anomaly map.
"""

import io
from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, to_rgb
from matplotlib.figure import Figure
from PIL import Image

from uad_jax.evaluation.cases import Case
from uad_jax.evaluation.sample import Sample
from uad_jax.report.figures import LESION, QUIET, STYLE, png
from uad_jax.report.pictures import DETECTION, frame, upright, window

SHARES = (0.5, 0.1, 0.01, 0.001)
"""Shares of the healthy voxels at the ticks of the colour bar, from its low to its high
end."""

CAPTION = (
  'Of each pathology the test scan whose lesion volume is the median (of 60 scans or '
  'more, that of each third by volume; of an even number the lower of the middle two), '
  'at the slice with most lesion; neither was chosen by what a method makes of it. '
  'Beside the input stands the truth; it is outlined in the maps too. A row is one '
  'run, of the seed beside it, with the map that it chose on validation data; methods '
  'without a reconstruction have a dash. The '
  "colour of a map tells how rare a score is: which share of the method's healthy test "
  'voxels reaches it, from black, half of them or more, to the brightest, one in a '
  'thousand or fewer. It keeps the order of the scores and makes methods comparable.'
)

PANEL, LABEL, GAP, HEADER, LINE, FOOTER = 0.85, 1.45, 0.12, 0.3, 0.22, 0.65  # inches
SEAM = 0.03  # inches between two panels


def rarity(scores: np.ndarray, sample: Sample) -> np.ndarray:
  """Computes how rare anomaly scores are among healthy voxels, on a logarithmic scale.

  The rarity is -log10 of the share of healthy voxels that score as high. The share is
  bounded from below by 0.001.

  Args:
    scores: Anomaly scores, any shape.
    sample: Counts of the scorer, with the scores of healthy test voxels.
  """
  healthy = sample.healthy.sum(0)
  share = np.cumsum(healthy[::-1])[::-1] / healthy.sum()
  bins = np.searchsorted(sample.edges, scores, 'right') - 1
  return -np.log10(np.maximum(share[np.maximum(bins, 0)], SHARES[-1]))


def colours() -> tuple[str, Normalize]:
  """Returns the colour map and the value range of the anomaly maps in the picture."""
  return 'inferno', Normalize(*(-np.log10((SHARES[0], SHARES[-1]))))


def in_brain(case: Case, name: str) -> np.ndarray:
  """Returns an array of an example slice for drawing, with nan outside the brain.

  Its axes are [rows, columns].

  Args:
    case: The example slice.
    name: Name of the array, such as 'image'.
  """
  return upright(np.where(case.panels['mask'] > 0, case.panels[name], np.nan))


def grey(ax: Axes, case: Case, name: str) -> None:
  """Draws an array of an example slice, such as the reconstruction, in grey values.

  The grey scale is that of the slice's image.
  """
  ax.imshow(in_brain(case, name), 'gray', **window(case))


def outline(ax: Axes, case: Case, colour: str) -> None:
  """Draws the true lesion of an example slice as an outline."""
  lesion = upright(case.panels['lesion']).astype(float)
  if lesion.any():
    ax.contour(lesion, [0.5], colors=[colour], linewidths=0.7)


def truth(ax: Axes, case: Case) -> None:
  """Draws an example slice and fills the area of its true lesion with a colour."""
  grey(ax, case, 'image')
  ax.contourf(upright(case.panels['lesion']).astype(float), [0.5, 2], colors=[LESION])


def anomaly(ax: Axes, case: Case) -> None:
  """Draws the anomaly map of an example slice and outlines the true lesion on it."""
  cmap, norm = colours()
  ax.imshow(in_brain(case, 'map'), cmap, norm=norm, origin='lower')
  outline(ax, case, DETECTION)


def palette() -> np.ndarray:
  """Builds the palette of 256 RGB colours for the picture that compares methods.

  It holds greys, the colour map of the anomaly maps, and the colours of outlines and
  their soft edges. The palette reduces the file to a third. A palette fitted to the
  picture would leave visible steps in the anomaly maps.
  """
  # Pillow matches colours by fours: a grey close to white would take its place.
  greys = np.append(np.linspace(0, 0.96, 59), 1)[:, None].repeat(3, 1)
  maps = matplotlib.colormaps[colours()[0]](np.linspace(0, 1, 188))[:, :3]
  strength = np.linspace(0.25, 1, 4)[:, None]
  lines = [strength * np.array(to_rgb(colour)) for colour in (DETECTION, LESION)]
  return (255 * np.concatenate([greys, maps, *lines])).round().astype(np.uint8)


def reduced(picture: bytes) -> bytes:
  """Converts a PNG picture, given as bytes, to a fixed palette of 256 colours.

  The colours are those of `palette`; there is no dithering.
  """
  known = Image.new('P', (1, 1))
  known.putpalette(palette().tobytes())
  image = Image.open(io.BytesIO(picture)).convert('RGB')
  stream = io.BytesIO()
  image.quantize(palette=known, dither=Image.Dither.NONE).save(
    stream, 'PNG', optimize=True
  )
  return stream.getvalue()


def aspect(cases: Sequence[Case]) -> float:
  """Computes the largest height-to-width ratio of the brains in example slices.

  The ratio is that of the bounding box.
  """
  ends = np.array([frame(case) for case in cases])
  x_low, x_high, y_low, y_high = ends.T
  return float(((y_high - y_low) / (x_high - x_low)).max())


@matplotlib.rc_context({**STYLE, 'axes.grid': False})
def draw(
  methods: Mapping[tuple[str, str], Sequence[Case]], titles: Sequence[str]
) -> bytes:
  """Draws a PNG that compares methods: one row per method, two columns per scan.

  The first row shows the input and the true lesion, the others the reconstruction and
  the anomaly map.

  Args:
    methods: Example slices, one for each scan, by (method, scorer); all methods show
      the same slice of a scan. Panels: 'image', 'mask', 'lesion', 'map' (a `rarity`)
      and, if the method has one, 'reconstruction'.
    titles: Titles of the scans.
  """
  scenes = next(iter(methods.values()))
  tall = PANEL * aspect(scenes)
  block = 2 * PANEL + GAP
  width = LABEL + block * len(scenes)
  height = HEADER + LINE + tall * (1 + len(methods)) + FOOTER
  figure = Figure((width, height), dpi=120, facecolor='white')
  FigureCanvasAgg(figure)

  def write(x, y, text, **style):
    figure.text(x / width, 1 - y / height, text, **{'va': 'center', **style})

  def panel(row: int, scene: int, side: int) -> Axes:
    top = HEADER + tall * row + (LINE if row else 0)
    start = LABEL + block * scene + PANEL * side
    size = (PANEL - SEAM) / width, (tall - SEAM) / height
    ax = figure.add_axes((start / width, 1 - (top + tall) / height, *size))
    ax.set_axis_off()
    return ax

  def fit(ax: Axes, case: Case) -> None:
    x_low, x_high, y_low, y_high = frame(case)
    ax.set(xlim=(x_low - 0.5, x_high - 0.5), ylim=(y_low - 0.5, y_high - 0.5))

  write(0.1, HEADER + tall / 2, 'input, truth', fontweight='bold')
  for column, (case, title) in enumerate(zip(scenes, titles, strict=True)):
    middle = LABEL + block * column + PANEL
    write(middle, HEADER / 2, title, ha='center', fontweight='bold')
    for side, name in enumerate(('reconstruction', 'map')):
      place = middle + PANEL * (side - 0.5), HEADER + tall + LINE / 2
      write(*place, name, ha='center', fontsize=7, color=QUIET)
    ax = panel(0, column, 0)
    grey(ax, case, 'image')
    outline(ax, case, DETECTION)
    fit(ax, case)
    ax = panel(0, column, 1)
    truth(ax, case)
    fit(ax, case)
  for row, ((name, scorer), cases) in enumerate(methods.items(), 1):
    middle = HEADER + LINE + tall * (row + 0.5)
    write(0.1, middle - 0.08, name, fontsize=8.5, fontweight='bold')
    write(0.1, middle + 0.02, scorer, va='top', fontsize=7, color=QUIET)
    for column, case in enumerate(cases):
      if 'reconstruction' in case.panels:
        ax = panel(row, column, 0)
        grey(ax, case, 'reconstruction')
        fit(ax, case)
      else:
        place = LABEL + block * column + PANEL / 2
        write(place, middle, '–', ha='center', color=QUIET)
      ax = panel(row, column, 1)
      anomaly(ax, case)
      fit(ax, case)

  long = (width - LABEL) / 2
  bar = figure.add_axes((LABEL / width, 0.36 / height, long / width, 0.1 / height))
  cmap, norm = colours()
  figure.colorbar(
    ScalarMappable(norm, cmap),
    bar,
    orientation='horizontal',
    ticks=-np.log10(SHARES),
    format=lambda value, _: f'{100 * 10**-value:.3g} %',
  )
  bar.tick_params(labelsize=7)
  legend = 'colour of maps: share of\nhealthy voxels that\nscore as high'
  write(0.1, height - 0.37, legend, fontsize=7, color=QUIET)
  return reduced(png(figure))
