"""The anatomy that simulated subjects are made from: MNI152 tissue maps, in mm.

The T1, grey- and white-matter templates (ICBM 2009a symmetric, 1 mm) lie inside
nilearn. Cerebrospinal fluid is what they leave of the brain; its deep central part are
the ventricles.
"""

import functools
import importlib.util
import itertools
import pathlib
from typing import NamedTuple

import nibabel as nib
import numpy as np
from scipy import ndimage

from uad_jax.data.preprocessing import align

TISSUES = ('csf', 'grey', 'white')
FIELD_MM = 4.0
"""Spacing of the grid on which velocity fields live."""

_CHUNK = 1 << 13


class Maps(NamedTuple):
  """What the template says of points [...], float32; also of its own 1 mm grid.

  Attributes:
    tissue: [..., 3] shares of csf, grey and white matter, summing to 1.
    ventricle: [...] share that is ventricle.
    brain: [...] 1 inside, soft at the edge.
    detail: [...] T1 minus what its tissues alone would give; unit deviation.
    depth: [...] distance in mm to the ventricles' surface, negative inside.
  """

  tissue: np.ndarray
  ventricle: np.ndarray
  brain: np.ndarray
  detail: np.ndarray
  depth: np.ndarray


def _read(name: str) -> np.ndarray:
  home = pathlib.Path(importlib.util.find_spec('nilearn').submodule_search_locations[0])
  image = nib.load(
    next((home / 'datasets/data').glob(f'mni_icbm152_{name}_tal*.nii.gz'))
  )
  return np.asarray(image.dataobj, np.float32) / 255


def halved(volume: np.ndarray) -> np.ndarray:
  """Every second voxel: distances and wide smoothing need no more."""
  return volume[::2, ::2, ::2]


def half_affine() -> np.ndarray:
  """Voxel of a halved map to mm."""
  return align.template()[1] @ np.diag([2.0, 2.0, 2.0, 1.0])


def find_ventricles(csf: np.ndarray, brain: np.ndarray) -> np.ndarray:
  """The fluid deep in the brain, about the midline; boolean, on the halved grid.

  At least 15 mm below the brain's surface, within 45 mm of the midline, above the brain
  stem, in connected parts of 0.3 ml or more: lateral and third ventricles.
  """
  csf, brain = halved(csf), halved(brain)
  x, y, z = np.moveaxis(points(csf.shape, half_affine()), -1, 0)
  deep = 2 * ndimage.distance_transform_edt(brain > 0.5) > 15
  box = (np.abs(x) < 45) & (y > -62) & (y < 45) & (z > -22) & (z < 38)
  labels, count = ndimage.label((csf > 0.45) & deep & box)
  sizes = np.bincount(labels.ravel(), minlength=count + 1)
  sizes[0] = 0
  return ndimage.binary_closing((8 * sizes > 300)[labels])


def enlarged(volume: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
  """A halved map on the grid of `shape` again, linear."""
  where = [np.arange(n, dtype=np.float32) / 2 for n in shape]
  for axis, place in enumerate(where):
    low = np.minimum(place.astype(int), volume.shape[axis] - 2)
    part = (place - low).reshape([-1 if i == axis else 1 for i in range(3)])
    below, above = volume.take(low, axis), volume.take(low + 1, axis)
    volume = below + part.astype(np.float32) * (above - below)
  return volume


@functools.cache
def anatomy() -> Maps:
  """The maps on the template's grid; made once a process."""
  t1, _ = align.template()
  grey, white = _read('gm'), _read('wm')
  inside = ndimage.binary_fill_holes(t1 > 0.1)
  brain = ndimage.uniform_filter(inside.astype(np.float32), 3)
  fluid = np.clip(1 - grey - white, 0, 1)
  # The templates are averages of many heads: squares make one head's borders of them.
  sharp = np.stack([fluid, grey, white], -1) ** 2 + np.float32(1e-6)
  tissue = sharp / sharp.sum(-1, keepdims=True)
  mask = find_ventricles(tissue[..., 0], brain)
  outside, within = map(ndimage.distance_transform_edt, (~mask, mask))
  depth = enlarged(np.float32(2 * (outside - within)), t1.shape)
  ventricle = tissue[..., 0] * np.clip(2 - depth / 2, 0, 1)
  levels = [np.average(t1[inside], weights=tissue[inside, k]) for k in range(3)]
  detail = (t1 - tissue @ np.float32(levels)) * inside
  detail = detail - ndimage.uniform_filter(detail, 15)  # no bias of the template
  detail = np.clip(detail / detail[inside].std(), -3, 3)
  return Maps(tissue, ventricle, brain, detail, depth)


@functools.cache
def _stacked() -> np.ndarray:
  """All maps as one array, so that a point is found once."""
  tissue, *others = anatomy()
  return np.concatenate([tissue, np.stack(others, -1)], -1).astype(np.float32)


def look_up(mm: np.ndarray) -> Maps:
  """The maps at points [..., 3] of the template, mm."""
  _, affine = align.template()
  found = at(_stacked(), affine, mm)
  return Maps(found[..., :3], *np.moveaxis(found[..., 3:], -1, 0))


def at(volume: np.ndarray, affine: np.ndarray, mm: np.ndarray) -> np.ndarray:
  """Linear interpolation of `volume` [X, Y, Z, ...] at points `mm` [..., 3].

  All channels of a point are fetched together, and points by the thousand, so that what
  is worked on stays in the cache: several times as fast as a call of scipy's for each.
  Beyond the grid its border goes on.
  """
  where = mm.reshape(-1, 3)
  found = np.empty((len(where), *volume.shape[3:]), np.float32)
  for start in range(0, len(where), _CHUNK):
    part = slice(start, start + _CHUNK)
    found[part] = _at_once(volume, affine, where[part])
  return found.reshape(*mm.shape[:-1], *volume.shape[3:])


def _at_once(volume: np.ndarray, affine: np.ndarray, mm: np.ndarray) -> np.ndarray:
  channels = volume.shape[3:]
  flat = volume.reshape(-1, *channels)
  # Axis-parallel grids only, as all of these are.
  voxels = (mm - np.float32(affine[:3, 3])) / np.float32(np.diag(affine)[:3])
  voxels = np.clip(voxels, 0, np.float32(volume.shape[:3]) - 1)
  lower = np.minimum(voxels.astype(np.int32), np.array(volume.shape[:3]) - 2)
  part = (voxels - lower).astype(np.float32)
  steps = np.array([volume.shape[1] * volume.shape[2], volume.shape[2], 1])
  start = lower @ steps
  total = 0.0
  sides = [(1 - part[:, axis], part[:, axis]) for axis in range(3)]
  for i, j, k in itertools.product((0, 1), repeat=3):
    weight = sides[0][i] * sides[1][j] * sides[2][k]
    weight = weight.reshape(-1, *[1] * len(channels))
    total = total + weight * flat.take(start + int(steps @ (i, j, k)), 0)
  return total


@functools.cache
def field_grid() -> tuple[tuple[int, int, int], np.ndarray]:
  """Shape and affine of the grid of velocity fields: the head with a margin."""
  shape = (52, 62, 54)
  affine = np.diag([FIELD_MM, FIELD_MM, FIELD_MM, 1.0])
  affine[:3, 3] = (-102.0, -142.0, -88.0)
  return shape, affine


def points(shape, affine: np.ndarray) -> np.ndarray:
  """The mm coordinates [X, Y, Z, 3] of a grid's voxels."""
  where = np.stack(np.meshgrid(*map(np.arange, shape), indexing='ij'), -1)
  return nib.affines.apply_affine(affine, where).astype(np.float32)
