"""Compares registrations of heads by the overlap of labelled regions; prints a table.

  python -m benchmarks.registration_quality [--run=RUN] [--subjects=N] [--json=FILE]

The heads are the test subjects of the IXI subset with DLMUSE labels, prepared as for
configs/voxelmorph.py:ixi3d (aligned, 3 mm). Each is registered to the next one, the
last to the first, and its labels are warped with it. No way sees the labels.

- no field: the affine alignment alone
- gauss_newton: the solver of `moment_registration`, all voxels counting, with the
  variance `NOISE`^2 and `COMPOSITIONS` compositions, whose settings were chosen on the
  validation heads (`--split=val`)
- single field: the same with one field, no composition, and the stiffness `SINGLE`
- network: a finished run of configs/voxelmorph.py or voxelmorph_diff.py (`--run`),
  which should be trained with `--config.method.pairing=scans`
- ANTs: SyN with local correlation (Avants et al. 2008), where ANTsPy is installed

Dice is the mean over the regions of the fixed head, then over pairs; ventricles are one
region. Folding is the share of the brain's voxels with a Jacobian determinant of 0 or
less. Seconds are processor time, summed over its cores, without compiling. Intervals
are from 2 000 resamples of pairs, which share subjects: they are somewhat too narrow.
"""

import argparse
import csv
import importlib.util
import json
import pathlib
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.alignment import read
from uad_jax.base_config import DATA
from uad_jax.comparison.benchmark_rows import read_config
from uad_jax.data.preprocessing import preprocess, step_sequence
from uad_jax.evaluation.bootstrap import mean_of
from uad_jax.evaluation.metrics import dice
from uad_jax.registration import flow, gauss_newton
from uad_jax.registration.warp import warp
from uad_jax.report.datasets import interval
from uad_jax.trained_run import open_run

SOURCE = pathlib.Path('data/ixi_t1_2mm')
NOISE = 0.1
"""Standard deviation of the difference of two registered heads, in image units."""

STIFFNESS, COMPOSITIONS = 2.0, 4
"""Stiffness and number of compositions of the composed registration."""

SINGLE = 1.0
"""Stiffness of the single field; lower ones fold."""

SYN = dict(
  type_of_transform='SyNOnly',
  initial_transform='identity',
  syn_metric='CC',
  syn_sampling=2,
  reg_iterations=(100, 50, 20),
)
"""Options of ANTsPy; the radius of the correlation is 2 voxels of 3 mm."""

COLUMNS = {'dice': 3, 'ventricle_dice': 3, 'folding_percent': 3, 'seconds': 1}
"""Measures by name, with their number of digits."""


class Head(NamedTuple):
  """A prepared head: image [X, Y, Z] float32, brain mask and DLMUSE labels."""

  image: np.ndarray
  mask: np.ndarray
  labels: np.ndarray


class Warped(NamedTuple):
  """Result of a registration: labels of the moving head on the grid of the fixed one.

  Attributes:
    labels: [X, Y, Z].
    determinant: Jacobian determinant at each voxel [X, Y, Z].
  """

  labels: np.ndarray
  determinant: np.ndarray


Way = Callable[[Head, Head], Warped]


def heads(source: pathlib.Path, count: int | None, split: str = 'test') -> list[Head]:
  """Prepares the first `count` subjects (None: all) of a split of `source`."""
  with open(source / 'participants.tsv') as file:
    people = list(csv.DictReader(file, delimiter='\t'))
  names = sorted(p['participant_id'] for p in people if p['split'] == split)
  prepared = []
  for name in names[:count]:
    steps = preprocess.job(**DATA['ixi3d']().job)
    scan, _ = step_sequence.apply(read(source, name), steps)
    prepared.append(Head(scan.image, scan.mask > 0, scan.labels))
  return prepared


def by_field(field: Callable[[jax.Array, jax.Array], jax.Array]) -> Way:
  """Makes a way of registration from a function (moving, fixed) -> displacement.

  Its arguments are images [1, X, Y, Z, 1]; the displacement is [1, X, Y, Z, 3].
  """
  field = jax.jit(field)

  def register(moving: Head, fixed: Head) -> Warped:
    u = field(*(jnp.asarray(head.image)[None, ..., None] for head in (moving, fixed)))
    labels = jnp.asarray(moving.labels, jnp.float32)[None, ..., None]
    return Warped(
      np.asarray(warp(labels, u, 'nearest'))[0, ..., 0].astype(int),
      np.asarray(flow.jacobian_determinant(u))[0],
    )

  return register


def at_rest(moving: jax.Array, fixed: jax.Array) -> jax.Array:
  """No deformation."""
  return jnp.zeros((*fixed.shape[:-1], 3))


def solver(
  stiffness: float, compositions: int
) -> Callable[[jax.Array, jax.Array], jax.Array]:
  """Makes the registration of `moment_registration`, without its gate."""
  options = read_config('moment_registration', 'ixi3d').method
  first, further = (
    gauss_newton.Schedule(tuple(steps), options.solves, options.damping)
    for steps in (options.steps, options.refinement)
  )

  def field(moving, fixed):
    ones = jnp.ones_like(fixed)
    problem = gauss_newton.Problem(fixed, moving, NOISE**2 * ones, ones, stiffness)
    return gauss_newton.register_composed(problem, first, further, compositions)

  return field


def network(run: str) -> Callable[[jax.Array, jax.Array], jax.Array]:
  """Makes the registration by the network of the run folder `run`."""
  opened = open_run(run)

  def field(moving, fixed):
    batch = {
      'image': fixed,
      'moving': moving,
      'mask': (fixed > 0).astype(fixed.dtype),
      'position': jnp.full(1, 0.5),
      'weight': jnp.ones(1),
    }
    infer = opened.method.infer
    outputs = infer(opened.state.params, opened.state.stats, batch, jax.random.key(0))
    return outputs['displacement']

  return field


def syn(moving: Head, fixed: Head) -> Warped:
  """Registers by the SyN of ANTsPy."""
  import ants

  still, moved = (ants.from_numpy(head.image) for head in (fixed, moving))
  fields = ants.registration(still, moved, **SYN)['fwdtransforms']
  labels = ants.from_numpy(moving.labels.astype(np.float32))
  placed = ants.apply_transforms(still, labels, fields, 'nearestNeighbor')
  determinant = ants.create_jacobian_determinant_image(still, fields[0])
  return Warped(placed.numpy().astype(int), determinant.numpy())


def overlap(warped: np.ndarray, fixed: np.ndarray) -> dict[str, float]:
  """Dice of the labels [X, Y, Z] of two heads: mean over regions, and ventricles."""
  regions = [dice(warped == n, fixed == n) for n in np.unique(fixed[fixed > 0])]
  ventricles = (np.isin(x, preprocess.DLMUSE['ventricle']) for x in (warped, fixed))
  return {'dice': float(np.mean(regions)), 'ventricle_dice': dice(*ventricles)}


def measure(way: Way, pairs: list[tuple[Head, Head]]) -> dict[str, list[float]]:
  """Registers all pairs (moving, fixed); returns a list with a value per pair."""
  way(*pairs[0])  # compiles
  values = {column: [] for column in COLUMNS}
  for moving, fixed in pairs:
    start = time.process_time()
    warped = way(moving, fixed)
    row = {'seconds': time.process_time() - start}
    row |= overlap(warped.labels, fixed.labels)
    folds = warped.determinant[fixed.mask] <= 0
    row['folding_percent'] = 100 * float(folds.mean())
    for column, value in row.items():
      values[column].append(round(value, 4))
  return values


def table(every: dict[str, dict[str, list[float]]]) -> str:
  """Renders the measures by way as a Markdown table."""
  lines = [
    '| way | Dice | ventricle Dice | folding, % | seconds |',
    '|---|' + '---|' * 4,
  ]
  for name, values in every.items():
    cells = [
      interval(mean_of(np.array(values[column]))._asdict(), digits)
      for column, digits in COLUMNS.items()
    ]
    lines.append(f'| {name} | {" | ".join(cells)} |')
  return '\n'.join(lines)


def main() -> None:
  """Command line: registers the pairs, prints the table and stores the numbers."""
  parser = argparse.ArgumentParser(prog='python -m benchmarks.registration_quality')
  parser.add_argument('--source', type=pathlib.Path, default=SOURCE)
  parser.add_argument('--split', default='test')
  parser.add_argument('--run', nargs='*', default=[], help='run folders of networks')
  parser.add_argument('--subjects', type=int, help='the first N subjects only')
  parser.add_argument('--json', help='also store the numbers in this file')
  options = parser.parse_args()
  ways = {
    'no field': by_field(at_rest),
    'single field': by_field(solver(SINGLE, 0)),
    'gauss_newton': by_field(solver(STIFFNESS, COMPOSITIONS)),
  }
  for run in options.run:
    ways[f'network {pathlib.Path(run).name}'] = by_field(network(run))
  if importlib.util.find_spec('ants') is None:
    print('ANTsPy is not installed and is left out', file=sys.stderr)
  else:
    ways['ANTs SyN'] = syn
  scans = heads(options.source, options.subjects, options.split)
  pairs = list(zip(scans, scans[1:] + scans[:1], strict=True))
  every = {}
  for name, way in ways.items():
    every[name] = measure(way, pairs)
    print(name, every[name], file=sys.stderr)
  print(table(every))
  if options.json:
    with open(options.json, 'w') as file:
      json.dump(every, file, indent=1)


if __name__ == '__main__':
  main()
