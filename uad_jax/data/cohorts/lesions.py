"""Lesions of real shape in healthy scans: masks drawn by hand, intensities changed.

The shape comes from a mask file on an MNI-like grid; it is brought to the subject by
the subject's affine to the template, mirrored, moved and scaled at random. The scan
without the lesion is the twin, so that truth is exact.
"""

import functools
import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import ndimage

from uad_jax.data.preprocessing import grid, nifti

KINDS = ('dark', 'bright', 'iso')
FACTORS = {'dark': (0.5, 0.8), 'bright': (1.2, 1.5)}
EDGE = 1.5
"""Standard deviation of the soft edge in mm."""

TEXTURE = 0.12
"""Deviation of the texture of an iso lesion, relative to the local mean."""


class Head(NamedTuple):
  """A healthy head, on its own grid.

  Attributes:
    image: [X, Y, Z] float32.
    brain: Brain, [X, Y, Z] bool.
    tissue: Brain without ventricles, [X, Y, Z] bool.
    affine: Voxel to mm of the scan.
    to_scan: 4x4, template mm to scan mm.
  """

  image: np.ndarray
  brain: np.ndarray
  tissue: np.ndarray
  affine: np.ndarray
  to_scan: np.ndarray


class Shape(NamedTuple):
  """A lesion's shape: its mask cut to its box, with the affine of the box."""

  mask: np.ndarray
  affine: np.ndarray
  name: str


@functools.lru_cache(maxsize=128)
def read_shape(path: str) -> Shape:
  """A mask binarised at half of its file's maximum."""
  volume = nifti.read(path)
  mask = nifti.read_mask(path, volume)
  first, end = grid.bounding_box(mask)
  first, end = np.maximum(first - 1, 0), np.minimum(end + 1, mask.shape)
  inner = tuple(slice(a, b) for a, b in zip(first, end, strict=True))
  affine = grid.translated(volume.affine, first)
  return Shape(mask[inner], affine, os.path.basename(path))


def place(
  shape: Shape, head: Head, volume: float, random: np.random.Generator
) -> tuple[np.ndarray, dict[str, Any]]:
  """The shape in the head, scaled towards `volume` ml, mirrored and moved at random.

  Returns:
    The mask [X, Y, Z], before it is cut to the tissue, and how it was placed.
  """
  points = np.argwhere(shape.mask)
  mirrored = bool(random.random() < 0.5)
  mirror = np.diag([-1.0 if mirrored else 1.0, 1, 1, 1])
  placed_affine = head.to_scan @ mirror @ shape.affine
  own = len(points) * abs(np.linalg.det(placed_affine[:3, :3])) / 1000
  scale = np.clip((volume / own) ** (1 / 3), 0.4, 1.6) * random.uniform(0.95, 1.05)
  shift = random.normal(0, 6, 3)
  centre = placed_affine[:3, :3] @ points.mean(0) + placed_affine[:3, 3]
  about = np.eye(4)
  about[:3, :3] *= scale
  about[:3, 3] = centre + shift - scale * centre
  to_shape = np.linalg.inv(about @ placed_affine) @ head.affine
  mask = grid.sample_mask(shape.mask, to_shape, head.image.shape)
  told = {
    'mask': shape.name,
    'mirrored': mirrored,
    'scale': round(float(scale), 4),
    'shift_mm': [round(float(s), 2) for s in shift],
  }
  return mask, told


def draw_masks(
  head: Head,
  shapes: Sequence[str],
  fraction: float,
  random: np.random.Generator,
  tries: int = 60,
) -> tuple[np.ndarray, list[dict[str, Any]]]:
  """Lesions that fill about `fraction` of the brain, in one to four parts.

  A part is taken when 85 % of it or more lies in tissue (so little of it in the
  ventricles or in parts before it) and it does not overshoot by more than half.
  """
  voxel = abs(np.linalg.det(head.affine[:3, :3])) / 1000
  wanted = fraction * head.brain.sum() * voxel
  parts = int(random.integers(1, 4))
  lesion, told = np.zeros(head.brain.shape, bool), []
  for _ in range(tries):
    missing = wanted - lesion.sum() * voxel
    if missing < 0.15 * wanted or len(told) == 4:
      break
    volume = min(missing, wanted / parts)
    path = shapes[random.integers(len(shapes))]
    mask, how = place(read_shape(path), head, volume, random)
    inside = mask & head.tissue & ~lesion
    size = inside.sum() * voxel
    if size < 0.85 * mask.sum() * voxel or not 0.2 < size < missing + 0.5 * wanted:
      continue
    lesion |= inside
    told.append(how | {'ml': round(float(size), 3)})
  if not told:
    raise ValueError(
      f'none of {len(shapes)} lesion masks fits the brain in {tries} tries; '
      'allowed are masks in MNI space (mm)'
    )
  return lesion, told


def paint(
  head: Head, lesion: np.ndarray, kind: str, random: np.random.Generator
) -> tuple[np.ndarray, dict[str, Any]]:
  """The image with the lesion, and with what strength.

  dark, bright: I' = I (1 + w (f - 1)), w the mask with a soft edge inside the tissue, f
  from FACTORS. iso: the anatomy's detail gives way to the local mean with a texture of
  3 mm grain; the mean over the lesion stays what it was.
  """
  if kind not in KINDS:
    raise ValueError(f"lesion kind '{kind}' is unknown; allowed are {', '.join(KINDS)}")
  step = grid.spacing(head.affine)
  weight = ndimage.gaussian_filter(lesion.astype(np.float32), EDGE / step) * head.tissue
  image = head.image
  if kind != 'iso':
    factor = random.uniform(*FACTORS[kind])
    return image * (1 + weight * (factor - 1)), {'factor': round(float(factor), 4)}

  inside = head.tissue.astype(np.float32)
  mean = ndimage.gaussian_filter(image * inside, 4 / step)
  mean /= np.maximum(ndimage.gaussian_filter(inside, 4 / step), 1e-3)
  grain = random.standard_normal(image.shape, dtype=np.float32)
  grain = ndimage.gaussian_filter(grain, 3 / grid.FWHM / step)
  other = mean * (1 + TEXTURE * grain / grain.std())
  change = weight * (other - image)
  # The mean is restored with the soft weight too, so that no edge is seen.
  change -= weight * change[lesion].sum() / weight[lesion].sum()
  return image + change, {'texture': TEXTURE}
