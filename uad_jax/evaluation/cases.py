"""Functions that choose the example slices which an evaluation report shows.

They come from the scans of worst, median and best AUPRC, and from one healthy scan.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from uad_jax.evaluation.scans import Scan

PER_KIND = 2
_PANELS = ('image', 'prior', 'reconstruction', 'gate', 'displacement', 'lesion', 'mask')


class Case(NamedTuple):
  """Example slice of one scan, with the arrays that the report draws.

  Attributes:
    scan: Description of the scan; its `arrays` are empty.
    kind: 'worst', 'median' or 'best' by AUPRC, 'healthy' for a scan without lesions, ''
      before `choose`.
    slice: Index along the third axis of the scan.
    auprc: AUPRC of the default anomaly map on the whole scan; nan without lesions.
    dice: Dice of the whole scan at the 5 % threshold; nan without lesions.
    panels: Arrays [X, Y, C] by name: 'map' (the anomaly map), 'detection', 'image',
      'mask' and, if the scan has them, 'prior', 'reconstruction', 'gate',
      'displacement' (in-plane components, voxels), 'lesion'.
  """

  scan: Scan
  kind: str
  slice: int
  auprc: float
  dice: float
  panels: dict[str, np.ndarray]


def take_case(scan: Scan, scores: np.ndarray, detection: np.ndarray) -> Case:
  """Extracts the slice of a scan with the largest lesion area, to show in the report.

  If the scan has no lesion, the slice with the largest detected area is extracted.

  Args:
    scan: A scan with its arrays [X, Y, Z, C].
    scores: Post-processed anomaly map [X, Y, Z].
    detection: Binary detection at the threshold, bool [X, Y, Z].
  """
  arrays = scan.arrays
  brain = arrays['mask'][..., 0] > 0
  lesion = arrays['lesion'][..., 0] > 0 if 'lesion' in arrays else np.zeros_like(brain)
  shown = lesion & brain if (lesion & brain).any() else detection
  area = (shown if shown.any() else brain).sum((0, 1))
  k = int(np.argmax(area))
  # Half precision: a slice of every scan is held until the choice can be made.
  panels = {
    name: np.asarray(arrays[name][:, :, k], np.float16)
    for name in _PANELS
    if name in arrays
  }
  if 'displacement' in panels:
    panels['displacement'] = panels['displacement'][..., :2]
  panels['map'] = np.asarray(scores[:, :, k, None], np.float32)
  panels['detection'] = detection[:, :, k, None]
  return Case(scan._replace(arrays={}), '', k, np.nan, np.nan, panels)


def choose(
  candidates: Sequence[Case], auprc: np.ndarray, dice: np.ndarray, score: np.ndarray
) -> list[Case]:
  """Chooses example slices for the report from scans of worst, median and best AUPRC.

  There are up to two scans of each kind. One healthy scan is added, the one with the
  highest anomaly score.

  Args:
    candidates: One example slice for each of n scans.
    auprc: [n] AUPRC of each scan; nan for a healthy scan.
    dice: [n] Dice of each scan; nan for a healthy scan.
    score: [n] anomaly score of each scan.

  Returns:
    Example slices of the chosen scans, with `kind`, `auprc` and `dice` set.
  """
  sick = np.flatnonzero(np.isfinite(auprc))
  order = sick[np.argsort(auprc[sick], kind='stable')]
  middle = max((len(order) - PER_KIND) // 2, 0)
  wanted = {
    'worst': order[:PER_KIND],
    'median': order[middle : middle + PER_KIND],
    'best': order[::-1][:PER_KIND],
  }
  chosen, taken = [], set()
  for kind in ('worst', 'best', 'median'):
    for row in wanted[kind]:
      if row not in taken:
        taken.add(row)
        chosen.append((kind, row))
  chosen.sort(key=lambda pair: ('worst', 'median', 'best').index(pair[0]))
  healthy = np.flatnonzero(~np.isfinite(auprc))
  if healthy.size:
    chosen.append(('healthy', healthy[np.argmax(score[healthy])]))
  return [
    candidates[row]._replace(kind=kind, auprc=float(auprc[row]), dice=float(dice[row]))
    for kind, row in chosen
  ]
