"""Program that draws a figure of simulated subjects: healthy subjects and patients.

python -m uad_jax.report.simulated_cohort --output=docs/figures/sim_brain.png
"""

import argparse
import pathlib
from collections.abc import Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from uad_jax.data.simulation.pathology import KINDS
from uad_jax.data.simulation.scanner import DOMAINS
from uad_jax.data.simulation.simulate import Grid, Subject, simulate
from uad_jax.report.figures import png

GRID = Grid((128, 128, 104), 1.5, tuple(range(40, 74, 3)))
SUBJECTS = 3


def shown_slice(subject: Subject) -> int:
  """Returns the index of the slice in which a subject's lesions have the largest area.

  For a subject without lesions it is the middle slice.
  """
  size = subject.lesion.sum((0, 1, 3))
  return int(size.argmax()) if size.any() else len(size) // 2


def draw(rows: dict[str, list[Subject]]) -> Figure:
  """Draws a figure of simulated subjects in titled rows, with lesions outlined.

  Args:
    rows: Subjects by title of the row, the same number in each row.
  """
  columns = len(next(iter(rows.values())))
  figure = Figure((1.7 * columns, 1.9 * len(rows)), dpi=100, layout='constrained')
  FigureCanvasAgg(figure)
  for axes, (name, subjects) in zip(
    figure.subplots(len(rows), columns, squeeze=False), rows.items(), strict=True
  ):
    for ax, subject in zip(axes, subjects, strict=True):
      k = shown_slice(subject)
      ax.imshow(subject.image[:, :, k, 0].T, 'gray', vmin=0, vmax=1.05, origin='lower')
      lesion = subject.lesion[:, :, k, 0].T
      if lesion.any():
        ax.contour(lesion, [0.5], colors=['#22e0ff'], linewidths=0.6)
      ax.set_axis_off()
    axes[0].set_title(name, loc='left', fontsize=9)
  return figure


def cohort(seed: int = 0) -> dict[str, list[Subject]]:
  """Simulates healthy subjects for each scanner, and patients for each pathology.

  Each patient is followed by the lesion-free twin (the same brain without the lesion);
  both show the same slice.

  Args:
    seed: Seed of the simulation.

  Returns:
    Subjects by title of their row.
  """

  def subjects_of(domain, pathology, count):
    """Simulates `count` subjects."""
    names = [f'figure-{domain}-{pathology}-{i}' for i in range(count)]
    return [simulate(name, GRID, domain, pathology, seed) for name in names]

  rows = {}
  for domain in DOMAINS:
    rows[f'domain {domain}: healthy'] = subjects_of(domain, 'none', 2 * SUBJECTS)
  for kind in KINDS:
    pairs = [
      (subject, subject._replace(image=subject.twin, lesion=0 * subject.lesion))
      for subject in subjects_of('a', kind, SUBJECTS)
    ]
    # The twin is shown at the slice with the largest lesion area.
    rows[f'{kind}, each with its twin'] = [
      _at(shown, shown_slice(subject))
      for subject, twin in pairs
      for shown in (subject, twin)
    ]
  return rows


def _at(subject: Subject, k: int) -> Subject:
  """Keeps only slice `k` of a subject."""
  return subject._replace(
    **{
      name: np.ascontiguousarray(getattr(subject, name)[:, :, k : k + 1])
      for name in ('image', 'twin', 'mask', 'lesion', 'labels')
    }
  )


def main(arguments: Sequence[str] | None = None) -> None:
  """Runs the command line: simulates subjects, draws them and writes a PNG."""
  parser = argparse.ArgumentParser(prog='python -m uad_jax.report.simulated_cohort')
  parser.add_argument('--output', default='docs/figures/sim_brain.png')
  parser.add_argument('--seed', type=int, default=0)
  options = parser.parse_args(arguments)
  target = pathlib.Path(options.output)
  target.parent.mkdir(parents=True, exist_ok=True)
  target.write_bytes(png(draw(cohort(options.seed))))
  print(target)


if __name__ == '__main__':
  main()
