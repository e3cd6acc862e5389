"""What each scan of a prepared data set looks like, in a few numbers and a picture."""

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import ndimage

from uad_jax.data import record
from uad_jax.data.preprocessing import align, grid

SIDE = 24
"""Pixels of a thumbnail's side, by which scans are compared."""

ALIGNED = {'align', 'affine', 'ants'}
SIMILARITIES = ('correlation', 'ncc', 'mutual_information')
"""Steps that align to the template, and what they reach."""

TURNS = {'upside down': (2,), 'back to front': (1,), 'turned by 180 degrees': (1, 2)}
"""What a scan is compared with for its orientation; a mirror image of left and right
cannot be told by a template that is nearly symmetric."""


class Look(NamedTuple):
  """What one scan of a data set looks like.

  Attributes:
    subject: With `session` the scan.
    session: '' where there is none.
    split: Its split.
    sha256: Of its records.
    slices: Number of its records' slices.
    picture: Its middle slice [H, W].
    lesion: The lesion there.
    numbers: Brain volume in ml, mean, deviation and 99th percentile in the brain, ...
    thumbnail: Three slices, coarse and normalised, [3 SIDE^2].
    turned: How it lies if that fits the template better than as it is, or ''.
    pathology: 'none' for the healthy.
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
    """Subject and session."""
    return ' '.join(filter(None, (self.subject, self.session)))


def looks(splits: Sequence[str], read: Callable[[str], Sequence]) -> Iterator[Look]:
  """A look at each scan; `read(split)` gives the split's records in their order."""
  for split in splits:
    group: list[dict[str, Any]] = []
    for each in read(split):
      if group and _scan(each) != _scan(group[0]):
        yield _look(group, split)
        group = []
      group.append(each)
    if group:
      yield _look(group, split)


def _scan(each) -> tuple[str, str]:
  return _text(each['subject']), _text(each['session'])


def _text(value: bytes | str) -> str:
  return value.decode() if isinstance(value, bytes) else value


def _look(group, split) -> Look:
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
  return Look(
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
  """The slices of a scan as dictionaries of arrays, and their indices."""
  if int(group[0]['slice']) >= 0:
    return group, [int(each['slice']) for each in group]
  indices = range(group[0]['image'].shape[2])
  return [record.cut(group[0], k) for k in indices], list(indices)


def _thumbnail(image: np.ndarray) -> np.ndarray:
  small = ndimage.zoom(
    ndimage.gaussian_filter(image, [n / SIDE / 2 for n in image.shape]),
    [SIDE / n for n in image.shape],
    order=1,
  ).ravel()
  small = small - small.mean()
  return small / max(np.linalg.norm(small), 1e-9)


def _turned(image, affine, heights, chain) -> str:
  """Which turn of an aligned scan fits the template better than the scan itself."""
  steps = [chain[step] for step in ALIGNED & set(chain)]
  if not steps:
    return ''
  volume, template_affine = align.template(steps[0].get('template', align.MNI152))
  planes = affine.copy()
  step = heights[1] - heights[0] if len(heights) > 1 else 1
  planes[:3, 3] += affine[:3, 2] * heights[0]
  planes[:3, 2] *= step
  there = grid.sample(volume, np.linalg.inv(template_affine) @ planes, image.shape)

  def fit(axes):
    return np.corrcoef(np.flip(image, axes).ravel(), there.ravel())[0, 1]

  best = max(TURNS, key=lambda name: fit(TURNS[name]))
  return best if fit(TURNS[best]) > fit(()) else ''
