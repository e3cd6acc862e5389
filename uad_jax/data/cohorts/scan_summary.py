"""Class and functions that summarise each scan of a prepared data set."""

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import ndimage

from uad_jax.data import record
from uad_jax.data.preprocessing import align, grid

SIDE = 24
"""Height and width in pixels of a slice in a thumbnail."""

ALIGNED = {'align', 'affine', 'ants'}
"""Preprocessing steps that align a scan to the template."""

SIMILARITIES = ('correlation', 'ncc', 'mutual_information')
"""Similarities of scan and template that the steps in `ALIGNED` may report."""

TURNS = {'upside down': (2,), 'back to front': (1,), 'turned by 180 degrees': (1, 2)}
"""Wrong orientations of a scan that are tested, with the axes that they flip.

A scan with left and right exchanged cannot be detected, as the template is almost
symmetric.
"""


class ScanSummary(NamedTuple):
  """Summary of one scan of a prepared data set, used to check and to show the scan.

  Attributes:
    subject: Name of the subject.
    session: Name of the session; '' without sessions.
    split: Name of the split.
    sha256: SHA-256 over the arrays of the slices, see `record.digest`.
    slices: Number of slices.
    picture: Slice of the scan to show, [X, Y]: the one with the largest lesion, or the
      middle one of a scan without lesions.
    lesion: Lesion mask of this slice, [X, Y] bool.
    numbers: Quantity to value: brain volume in ml, mean, standard deviation and 99th
      percentile of the intensity in the brain, similarity with the template.
    thumbnail: Three slices of low resolution, each with mean 0 and norm 1, as a vector
      [3 * SIDE * SIDE].
    turned: Key of `TURNS` whose flip fits the template best; '' if no flip is better.
    pathology: Name of the pathology; 'none' for a healthy scan.
  """

  subject: str
  session: str
  split: str
  sha256: str
  slices: int
  picture: np.ndarray
  lesion: np.ndarray
  numbers: dict[str, float]
  thumbnail: np.ndarray
  turned: str
  pathology: str

  @property
  def name(self) -> str:
    """Name of the scan: subject and session, separated by a space."""
    return ' '.join(filter(None, (self.subject, self.session)))


def summaries(
  splits: Sequence[str], read: Callable[[str], Sequence]
) -> Iterator[ScanSummary]:
  """Reads a prepared data set and yields the summary of each scan.

  Args:
    splits: Names of the splits.
    read: Function from a split to its records, in which the records of a scan follow
      each other.
  """
  for split in splits:
    group: list[dict[str, Any]] = []
    for example in read(split):
      if group and _scan(example) != _scan(group[0]):
        yield _summary(group, split)
        group = []
      group.append(example)
    if group:
      yield _summary(group, split)


def _scan(example) -> tuple[str, str]:
  """Subject and session of a record."""
  return _text(example['subject']), _text(example['session'])


def _text(value: bytes | str) -> str:
  return value.decode() if isinstance(value, bytes) else value


def _summary(group, split) -> ScanSummary:
  """The summary of a scan from all of its records."""
  subject, session = _scan(group[0])
  slices, heights = _slices(group)
  image = np.stack([s['image'][..., 0] for s in slices], -1)
  mask = np.stack([s['mask'][..., 0] for s in slices], -1) > 0
  lesion = np.stack([s['lesion'][..., 0] for s in slices], -1) > 0
  affine = np.asarray(group[0]['affine'], float)
  details = json.loads(_text(group[0]['details']))
  to_scan = np.array(details.get('to_scan', np.eye(4)))  # simulated scans have none
  size = abs(np.linalg.det((to_scan @ affine)[:3, :3])) / 1e3
  step = float(np.median(np.diff(heights))) if len(heights) > 1 else 1.0
  brain = image[mask] if mask.any() else image.ravel()
  shown = int(lesion.sum((0, 1)).argmax()) if lesion.any() else len(slices) // 2
  chain = {s['step']: s for s in details.get('chain', ()) if 'step' in s}
  numbers = {
    'brain volume in ml': float(mask.sum() * size * step),
    'mean intensity': float(brain.mean()),
    'deviation of intensity': float(brain.std()),
    '99th percentile of intensity': float(np.percentile(brain, 99)),
    'share of the darkest third': float((brain < np.percentile(brain, 99) / 3).mean()),
  }
  for step in ALIGNED & set(chain):
    numbers |= {
      f'{n.replace("_", " ")} with the template': float(chain[step][n])
      for n in SIMILARITIES
      if n in chain[step]
    }
  places = np.linspace(0.3, 0.7, 3) * (len(slices) - 1)
  return ScanSummary(
    subject=subject,
    session=session,
    split=split,
    sha256=record.digest(slices),
    slices=len(slices),
    picture=image[:, :, shown],
    lesion=lesion[:, :, shown],
    numbers=numbers,
    thumbnail=np.concatenate([_thumbnail(image[:, :, round(k)]) for k in places]),
    turned=_turned(image, affine, heights, chain),
    pathology=_text(group[0]['pathology']),
  )


def _slices(group):
  """The slices of a scan as mappings of arrays, and their indices in its volume."""
  if int(group[0]['slice']) >= 0:
    return group, [int(example['slice']) for example in group]
  indices = range(group[0]['image'].shape[2])
  return [record.cut(group[0], k) for k in indices], list(indices)


def _thumbnail(image: np.ndarray) -> np.ndarray:
  """A slice at SIDE x SIDE pixels with mean 0 and norm 1, as a vector."""
  small = ndimage.zoom(
    ndimage.gaussian_filter(image, [n / SIDE / 2 for n in image.shape]),
    [SIDE / n for n in image.shape],
    order=1,
  ).ravel()
  small = small - small.mean()
  return small / max(np.linalg.norm(small), 1e-9)


def _turned(image, affine, heights, chain) -> str:
  """The key of `TURNS` that fits the template better than an aligned scan, or ''."""
  steps = [chain[step] for step in ALIGNED & set(chain)]
  if not steps:
    return ''
  volume, template_affine = align.template(steps[0].get('template', align.MNI152))
  planes = affine.copy()
  step = heights[1] - heights[0] if len(heights) > 1 else 1
  planes[:3, 3] += affine[:3, 2] * heights[0]
  planes[:3, 2] *= step
  target = grid.sample(volume, np.linalg.inv(template_affine) @ planes, image.shape)

  def fit(axes):
    """Correlation of the flipped scan with the template."""
    return np.corrcoef(np.flip(image, axes).ravel(), target.ravel())[0, 1]

  best = max(TURNS, key=lambda name: fit(TURNS[name]))
  return best if fit(TURNS[best]) > fit(()) else ''
