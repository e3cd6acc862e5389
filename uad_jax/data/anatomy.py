"""The anatomy that simulated subjects are made from: MNI152 tissue maps, in mm.

The T1, grey- and white-matter templates (ICBM 2009a symmetric, 1 mm) lie inside nilearn.
Cerebrospinal fluid is what they leave of the brain; its deep central part are the
ventricles.
"""

import functools
import importlib.util
import pathlib
from typing import NamedTuple

import nibabel as nib
import numpy as np
from scipy import ndimage

from uad_jax.data import align

TISSUES = ('csf', 'grey', 'white')
FIELD_MM = 4.0
"""Spacing of the grid on which velocity fields live."""


class Anatomy(NamedTuple):
  """Maps on the 1 mm grid of the template, float32.

  Attributes:
    tissue: [X, Y, Z, 3] shares of csf, grey and white matter, summing to 1.
    ventricle: [X, Y, Z] share that is ventricle.
    brain: [X, Y, Z] 1 inside, soft at the edge.
    detail: [X, Y, Z] T1 minus what its tissues alone would give; unit deviation.
    depth: [X, Y, Z] distance in mm to the ventricles' surface, negative inside.
    affine: Voxel to mm.
  """

  tissue: np.ndarray
  ventricle: np.ndarray
  brain: np.ndarray
  detail: np.ndarray
  depth: np.ndarray
  affine: np.ndarray


def _read(name: str) -> np.ndarray:
  home = pathlib.Path(importlib.util.find_spec('nilearn').submodule_search_locations[0])
  image = nib.load(next((home / 'datasets/data').glob(f'mni_icbm152_{name}_tal*.nii.gz')))
  return np.asarray(image.dataobj, np.float32) / 255


def find_ventricles(csf: np.ndarray, brain: np.ndarray, affine: np.ndarray) -> np.ndarray:
  """The connected fluid deep in the brain, about the midline; a boolean mask.

  Fluid at least 15 mm below the brain's surface, within 45 mm of the midline and above
  the brain stem, in the component that reaches both lateral ventricles.
  """
  where = np.stack(np.meshgrid(*map(np.arange, csf.shape), indexing='ij'), -1)
  x, y, z = np.moveaxis(nib.affines.apply_affine(affine, where), -1, 0)
  deep = ndimage.distance_transform_edt(brain > 0.5) > 15
  box = (np.abs(x) < 45) & (y > -62) & (y < 45) & (z > -22) & (z < 38)
  labels, _ = ndimage.label((csf > 0.45) & deep & box)
  near = [ndimage.mean(labels == labels[labels > 0][0], labels > 0)] and []
  del near
  sizes = np.bincount(labels[labels > 0])
  largest = int(np.argmax(sizes))
  return ndimage.binary_closing(labels == largest, iterations=1)


@functools.cache
def anatomy() -> Anatomy:
  """The maps; made once a process, in a few seconds."""
  t1, affine = align.template()
  grey, white = _read('gm'), _read('wm')
  inside = ndimage.binary_fill_holes(t1 > 0.1)
  brain = ndimage.gaussian_filter(inside.astype(np.float32), 0.7)
  fluid = np.clip(1 - grey - white, 0, 1)
  # The templates are averages over many heads: a power makes one head's borders of them.
  sharp = np.stack([fluid, grey, white], -1) ** 1.8 + 1e-6
  tissue = (sharp / sharp.sum(-1, keepdims=True)).astype(np.float32)
  mask = find_ventricles(tissue[..., 0], brain, affine)
  around = ndimage.gaussian_filter(mask.astype(np.float32), 0.8)
  ventricle = tissue[..., 0] * np.clip(2 * around, 0, 1)
  levels = [np.average(t1[inside], weights=tissue[inside, k]) for k in range(3)]
  detail = (t1 - tissue @ np.float32(levels)) * inside
  detail = detail - ndimage.gaussian_filter(detail, 6)  # no bias of the template
  detail = np.clip(detail / detail[inside].std(), -3, 3)
  depth = ndimage.distance_transform_edt(~mask) - ndimage.distance_transform_edt(mask)
  return Anatomy(
    tissue,
    ventricle.astype(np.float32),
    brain.astype(np.float32),
    detail.astype(np.float32),
    depth.astype(np.float32),
    affine,
  )


def at(volume: np.ndarray, affine: np.ndarray, mm: np.ndarray, order: int = 1):
  """Values of `volume` [X, Y, Z, ...] at points `mm` [..., 3]; 0 outside."""
  voxels = np.moveaxis(nib.affines.apply_affine(np.linalg.inv(affine), mm), -1, 0)
  voxels = voxels.astype(np.float32)
  if volume.ndim == 3:
    return ndimage.map_coordinates(volume, voxels, order=order, mode='constant')
  parts = [at(volume[..., c], affine, mm, order) for c in range(volume.shape[-1])]
  return np.stack(parts, -1)


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
