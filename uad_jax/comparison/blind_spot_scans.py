"""Functions that compute the statistics of scans and slices for the blind-spot study.

The residual among the statistics (`domain_shift.statistics`) is the default anomaly map
of the run; 'error_mean' and 'error_entropy' are the mean and the entropy of
|image - reconstruction|.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from uad_jax.comparison.blind_spot_run import CODE, ERROR, StudiedRun, inferred_scans
from uad_jax.domain_shift.statistics import (
  LIKELIHOODS,
  of_residual,
  of_scan,
  of_slices,
)
from uad_jax.evaluation.measure import MAP, detected, scored
from uad_jax.evaluation.scans import Scan, lesion_in


class Example(NamedTuple):
  """Statistics of one scan or of one slice.

  Attributes:
    scan: Name of the scan.
    subject: Name of the subject.
    lesion: Whether it holds lesion voxels.
    statistics: Statistics by name; nan where undefined.
    code: [F] mean of the latent code; None if the method has no latent code.
  """

  scan: str
  subject: str
  lesion: bool
  statistics: dict[str, float]
  code: np.ndarray | None


class MeasuredScan(NamedTuple):
  """Statistics of a scan and of its slices.

  Attributes:
    whole: The scan as one example.
    slices: Slices with enough brain, see `measure`.
    marked: Share of the brain that is detected at the threshold.
  """

  whole: Example
  slices: tuple[Example, ...]
  marked: float


def measured(
  run: StudiedRun, source: Any, floor: float, label: str
) -> list[MeasuredScan]:
  """Infers and measures all scans of batches; `label` names them in the progress."""
  return [
    measure(run, scan, outputs, floor)
    for scan, outputs in inferred_scans(run, source, label)
  ]


def measure(
  run: StudiedRun, scan: Scan, outputs: Mapping[str, np.ndarray], floor: float
) -> MeasuredScan:
  """Computes the statistics of a scan and of its slices.

  Slices are used if they have at least a quarter of the brain voxels of the largest.

  Args:
    run: Finished run.
    scan: Inferred scan.
    outputs: Its outputs without spatial axes, from `inferred_scans`.
    floor: Lowest anomaly score of healthy scans, at most 0; it is subtracted and what
      is still negative set to 0, as statistics of the residual need numbers of one
      sign.
  """
  scores, inside = scored(scan, run.scorer, run.chain)
  marked = detected(scores, inside, run.threshold, run.chain)
  image, brain = scan.arrays['image'], scan.arrays['mask']
  residual = np.maximum(scan.arrays[MAP + run.scorer] - floor, 0)
  likelihoods = {name: outputs[name] for name in LIKELIHOODS if name in outputs}
  lesion, code = lesion_in(scan.arrays), outputs.get(CODE)
  whole = of_scan(image, brain, residual, likelihoods) | errors(scan.arrays)
  area = inside.sum((0, 1))
  table = of_slices(
    image,
    brain,
    residual,
    likelihoods if scan.planar else None,
    max(1, int(area.max()) // 4),
  )
  slices = []
  for row, z in enumerate(table.pop('slice')):
    numbers = {name: float(values[row]) for name, values in table.items()}
    part = {n: scan.arrays[n][:, :, z] for n in (ERROR, 'mask') if n in scan.arrays}
    slices.append(
      Example(
        scan.name,
        scan.subject,
        bool(lesion[..., z].any()),
        numbers | errors(part),
        None if code is None or not scan.planar else code[z],
      )
    )
  return MeasuredScan(
    Example(
      scan.name,
      scan.subject,
      bool(lesion.any()),
      whole,
      None if code is None else code.mean(0),
    ),
    tuple(slices),
    float(marked[inside].mean()),
  )


def errors(arrays: Mapping[str, np.ndarray]) -> dict[str, float]:
  """Computes mean and entropy of |image - reconstruction|; {} without `ERROR`."""
  if ERROR not in arrays:
    return {}
  numbers = of_residual(arrays[ERROR], arrays['mask'])
  return {f'error_{name}': numbers[f'residual_{name}'] for name in ('mean', 'entropy')}


def lowest(run: StudiedRun, scans: Iterable[Scan]) -> float:
  """Computes the lowest anomaly score in the brains of scans, at most 0."""
  values = [
    scan.arrays[MAP + run.scorer][scan.arrays['mask'] > 0].min() for scan in scans
  ]
  return float(min(0.0, *values))
