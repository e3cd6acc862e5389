"""Scans to look at: one slice of each, and the choice of worst, median and best."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from uad_jax.evaluation.scans import Scan

PER_KIND = 2
_PANELS = ('image', 'prior', 'reconstruction', 'gate', 'displacement', 'lesion', 'mask')


class Case(NamedTuple):
  """One slice of a scan.

  Attributes:
    scan: The scan, without its arrays.
    kind: 'worst', 'median' or 'best' by AUPRC, 'healthy', or '' before the choice.
    slice: Index along the stack.
    auprc: Of the scan with the default map, nan for the healthy.
    dice: At the 5 % threshold, nan for the healthy.
    panels: By name [X, Y, C]: 'map', 'detection', 'image', 'mask' and, where there are,
      'prior', 'reconstruction', 'gate', 'displacement' (in the plane), 'lesion'.
  """

  scan: Scan
  kind: str
  slice: int
  auprc: float
  dice: float
  panels: dict[str, np.ndarray]


def take_case(scan: Scan, scores: np.ndarray, detection: np.ndarray) -> Case:
  """The slice with most lesion, or else with most detected voxels.

  Args:
    scan: With its arrays [X, Y, Z, C].
    scores: The post-processed map [X, Y, Z].
    detection: What is marked at the threshold, bool [X, Y, Z].
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
  """Two worst, median and best scans by AUPRC, and the healthy one of highest score.

  Args:
    candidates: One of each scan.
    auprc: [n], nan for the healthy.
    dice: [n], nan for the healthy.
    score: [n], the scan's score.
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
