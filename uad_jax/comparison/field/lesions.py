"""Functions that measure which lesions a row finds, by size, contrast and place."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import ndimage

from uad_jax.comparison.field.heads import Heads, scans
from uad_jax.comparison.field.measures import NAME
from uad_jax.comparison.field.rows import SCORE, Row
from uad_jax.data.preprocessing.tissue_classes import VENTRICLE
from uad_jax.evaluation.lesionwise import SIZE_NAMES, components, size_bin
from uad_jax.evaluation.measure import scored
from uad_jax.evaluation.postprocess import Postprocess
from uad_jax.evaluation.scans import lesion_in

NEAR = 4.0
"""Distance in voxels from the edge of the brain or a ventricle up to which a lesion,
by its mean over the voxels, counts as near."""

WEAK = (0.05, 0.15)
"""Bounds of the contrast of faint, middle and strong lesions, in image units: the
absolute mean difference from the twin."""


class Lesion(NamedTuple):
  """A lesion, and how much of it a row marks.

  Attributes:
    size: Name of its volume, from `lesionwise.SIZE_NAMES`.
    contrast: 'faint', 'middle' or 'strong' by `WEAK`; 'unknown' without a twin.
    place: 'near' or 'deep'.
    recall: Share of its voxels at or above the threshold.
  """

  size: str
  contrast: str
  place: str
  recall: float


def lesions_of(
  row: Row, heads: Heads, threshold: float, chain: Postprocess
) -> list[Lesion]:
  """Lists the lesions of all scans, connected components of their masks.

  Args:
    row: The row.
    heads: Test scans.
    threshold: Lowest score that is marked.
    chain: Post-processing.
  """
  listed = []
  for scan in scans(heads, {SCORE: row.arrays[SCORE]}):
    truth = lesion_in(scan.arrays)
    if not truth.any():
      continue
    scores, brain = scored(scan, NAME, chain)
    edge = brain.copy()
    if 'labels' in scan.arrays:
      edge &= scan.arrays['labels'][..., 0] != VENTRICLE
    distance = ndimage.distance_transform_edt(edge)
    change = np.zeros(truth.shape)
    if 'twin' in scan.arrays:
      change = (scan.arrays['image'] - scan.arrays['twin'])[..., 0]
    labels, number = components(truth)
    for index in range(1, number + 1):
      inside = labels == index
      size = SIZE_NAMES[int(size_bin(inside.sum() * scan.voxel_ml))]
      contrast = ('faint', 'middle', 'strong')[
        int(np.digitize(abs(change[inside].mean()), WEAK))
      ]
      listed.append(
        Lesion(
          size,
          contrast if 'twin' in scan.arrays else 'unknown',
          'near' if distance[inside].mean() <= NEAR else 'deep',
          float((scores[inside] >= threshold).mean()),
        )
      )
  return listed


def by_kind(listed: Sequence[Lesion]) -> dict[str, Mapping[str, Any]]:
  """Averages the recall of lesions by size, by contrast and by place.

  Returns:
    By kind, such as 'deep', 'lesions' (their number) and 'recall' (the mean).
  """
  groups: dict[str, list[float]] = {}
  for lesion in listed:
    for kind in (lesion.size, lesion.contrast, lesion.place):
      groups.setdefault(kind, []).append(lesion.recall)
  return {
    kind: {'lesions': len(values), 'recall': float(np.mean(values))}
    for kind, values in sorted(groups.items())
  }
