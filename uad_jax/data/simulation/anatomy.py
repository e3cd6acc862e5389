"""Functions that compute and interpolate tissue maps of the MNI152 template.

The maps are the anatomy of the simulated subjects. The T1, grey- and white-matter
templates (ICBM 2009a symmetric, 1 mm) are files of nilearn. The rest of the brain is
cerebrospinal fluid (CSF); the ventricles are its deep part near the midline.
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
"""Names of the last axis of `Maps.tissue`."""

FIELD_MM = 4.0
"""Spacing in mm of `field_grid`, the grid of the velocity fields."""

_CHUNK = 1 << 13
"""Number of points that are interpolated together, so that they fit into the cache."""


class Maps(NamedTuple):
  """Tissue maps of the MNI152 template, at chosen points or on its voxel grid.

  All maps are float32; [...] is the shape of the points or of the grid.

  Attributes:
    tissue: [..., 3] volume fractions of CSF, grey and white matter, summing to 1.
    ventricle: [...] volume fraction of ventricle, in [0, 1].
    brain: [...] soft brain mask: 1 inside, 0 outside.
    detail: [...] texture: T1 minus the mean intensities of its tissues, high-pass
      filtered, with standard deviation 1 in the brain.
    depth: [...] signed distance in mm to the ventricles' surface, negative inside.
  """

  tissue: np.ndarray
  ventricle: np.ndarray
  brain: np.ndarray
  detail: np.ndarray
  depth: np.ndarray


def _read(name: str) -> np.ndarray:
  """A template of nilearn ('t1', 'gm' or 'wm'), in [0, 1]."""
  home = pathlib.Path(importlib.util.find_spec('nilearn').submodule_search_locations[0])
  image = nib.load(
    next((home / 'datasets/data').glob(f'mni_icbm152_{name}_tal*.nii.gz'))
  )
  return np.asarray(image.dataobj, np.float32) / 255


def halved(volume: np.ndarray) -> np.ndarray:
  """Reduces a volume to every second voxel along x, y and z.

  Args:
    volume: [X, Y, Z, ...].
  """
  return volume[::2, ::2, ::2]


def half_affine() -> np.ndarray:
  """Returns the affine of the template's voxel grid reduced to every second voxel.

  It is 4x4, from voxel to mm, and belongs to template maps reduced by `halved`.
  """
  return align.template()[1] @ np.diag([2.0, 2.0, 2.0, 1.0])


def find_ventricles(csf: np.ndarray, brain: np.ndarray) -> np.ndarray:
  """Computes a mask of the lateral and third ventricles of the MNI152 template.

  The ventricles are the CSF at least 15 mm below the brain's surface, within 45 mm of
  the midline and above the brain stem, in connected parts of 0.3 ml or more.

  Args:
    csf: Volume fraction of CSF on the template's grid, [X, Y, Z].
    brain: Soft brain mask on the template's grid, [X, Y, Z].

  Returns:
    Mask [X, Y, Z], bool, on every second voxel of the template's grid.
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
  """Upsamples a volume to about twice as many voxels per axis by linear interpolation.

  It leads back to the full grid of a volume that `halved` has reduced.

  Args:
    volume: [X, Y, Z] of the halved grid.
    shape: Shape of the full grid.
  """
  places = [np.arange(n, dtype=np.float32) / 2 for n in shape]
  for axis, place in enumerate(places):
    low = np.minimum(place.astype(int), volume.shape[axis] - 2)
    fraction = (place - low).reshape([-1 if i == axis else 1 for i in range(3)])
    below, above = volume.take(low, axis), volume.take(low + 1, axis)
    volume = below + fraction.astype(np.float32) * (above - below)
  return volume


@functools.cache
def anatomy() -> Maps:
  """Computes the tissue maps of the MNI152 template on its grid of 1 mm.

  They are computed once per process and cached.
  """
  t1, _ = align.template()
  grey, white = _read('gm'), _read('wm')
  inside = ndimage.binary_fill_holes(t1 > 0.1)
  brain = ndimage.uniform_filter(inside.astype(np.float32), 3)
  fluid = np.clip(1 - grey - white, 0, 1)
  # The templates are averages over many heads; squares sharpen their borders.
  sharp = np.stack([fluid, grey, white], -1) ** 2 + np.float32(1e-6)
  tissue = sharp / sharp.sum(-1, keepdims=True)
  mask = find_ventricles(tissue[..., 0], brain)
  outside, ventricular = map(ndimage.distance_transform_edt, (~mask, mask))
  depth = enlarged(np.float32(2 * (outside - ventricular)), t1.shape)
  ventricle = tissue[..., 0] * np.clip(2 - depth / 2, 0, 1)
  levels = [np.average(t1[inside], weights=tissue[inside, k]) for k in range(3)]
  detail = (t1 - tissue @ np.float32(levels)) * inside
  detail = detail - ndimage.uniform_filter(detail, 15)  # the template's bias field
  detail = np.clip(detail / detail[inside].std(), -3, 3)
  return Maps(tissue, ventricle, brain, detail, depth)


@functools.cache
def _stacked() -> np.ndarray:
  """All maps as channels [X, Y, Z, 7], so that they are interpolated together."""
  tissue, *others = anatomy()
  return np.concatenate([tissue, np.stack(others, -1)], -1).astype(np.float32)


def look_up(mm: np.ndarray) -> Maps:
  """Interpolates the tissue maps of the MNI152 template at points.

  Args:
    mm: Points [..., 3] in template mm.
  """
  _, affine = align.template()
  values = interpolate(_stacked(), affine, mm)
  return Maps(values[..., :3], *np.moveaxis(values[..., 3:], -1, 0))


def interpolate(volume: np.ndarray, affine: np.ndarray, mm: np.ndarray) -> np.ndarray:
  """Interpolates a volume linearly at points in mm.

  Points outside the volume take the values of its border. It is several times as fast
  as `scipy.ndimage.map_coordinates` for each channel, because all channels of a point
  are read together, and `_CHUNK` points at a time.

  Args:
    volume: [X, Y, Z, ...], with channels or without.
    affine: 4x4 from voxel to mm, without rotation or shear.
    mm: Points [..., 3].

  Returns:
    The values, with the leading axes of `mm` and the channels of `volume`, float32.
  """
  places = mm.reshape(-1, 3)
  values = np.empty((len(places), *volume.shape[3:]), np.float32)
  for start in range(0, len(places), _CHUNK):
    chunk = slice(start, start + _CHUNK)
    values[chunk] = _interpolate_chunk(volume, affine, places[chunk])
  return values.reshape(*mm.shape[:-1], *volume.shape[3:])


def _interpolate_chunk(
  volume: np.ndarray, affine: np.ndarray, mm: np.ndarray
) -> np.ndarray:
  channels = volume.shape[3:]
  flat = volume.reshape(-1, *channels)
  # Only for grids along the axes of mm, as all grids of the simulation are.
  voxels = (mm - np.float32(affine[:3, 3])) / np.float32(np.diag(affine)[:3])
  voxels = np.clip(voxels, 0, np.float32(volume.shape[:3]) - 1)
  lower = np.minimum(voxels.astype(np.int32), np.array(volume.shape[:3]) - 2)
  fraction = (voxels - lower).astype(np.float32)
  strides = np.array([volume.shape[1] * volume.shape[2], volume.shape[2], 1])
  start = lower @ strides
  total = 0.0
  weights = [(1 - fraction[:, axis], fraction[:, axis]) for axis in range(3)]
  for i, j, k in itertools.product((0, 1), repeat=3):
    weight = weights[0][i] * weights[1][j] * weights[2][k]
    weight = weight.reshape(-1, *[1] * len(channels))
    total = total + weight * flat.take(start + int(strides @ (i, j, k)), 0)
  return total


@functools.cache
def field_grid() -> tuple[tuple[int, int, int], np.ndarray]:
  """Returns the shape and the affine of the grid on which velocity fields are sampled.

  The affine is 4x4, from voxel to mm. The grid covers the head with a margin, with
  voxels of `FIELD_MM`.
  """
  shape = (52, 62, 54)
  affine = np.diag([FIELD_MM, FIELD_MM, FIELD_MM, 1.0])
  affine[:3, 3] = (-102.0, -142.0, -88.0)
  return shape, affine


def points(shape, affine: np.ndarray) -> np.ndarray:
  """Computes the coordinates in mm of all voxels of a grid.

  Args:
    shape: Shape of the grid.
    affine: 4x4 of the grid, from voxel to mm.

  Returns:
    Coordinates [X, Y, Z, 3].
  """
  voxels = np.stack(np.meshgrid(*map(np.arange, shape), indexing='ij'), -1)
  return nib.affines.apply_affine(affine, voxels).astype(np.float32)
