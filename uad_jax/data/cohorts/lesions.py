"""Inserts lesions of real shape into healthy scans by changing their intensities.

The shape is a hand-drawn lesion mask in MNI space. It is brought to the subject by the
affine between template and scan, and mirrored, moved and scaled at random. The
untouched scan is the lesion-free twin, so that the ground truth is exact.
"""

import functools
import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import ndimage

from uad_jax.data.preprocessing import grid, nifti

KINDS = ('dark', 'bright', 'iso')
"""Kinds of lesions: hypointense, hyperintense, and isointense with another texture."""

FACTORS = {'dark': (0.5, 0.8), 'bright': (1.2, 1.5)}
"""Range of the factor on the intensity, by kind of lesion."""

EDGE = 1.5
"""Standard deviation in mm of the Gaussian that makes the edge of a lesion soft."""

TEXTURE = 0.12
"""Standard deviation of an iso lesion's texture, relative to the local mean."""


class Head(NamedTuple):
  """A healthy scan on its native grid, with the masks that place lesions.

  Attributes:
    image: Scan, [X, Y, Z] float32.
    brain: Brain mask, [X, Y, Z] bool.
    tissue: Brain mask without the ventricles, [X, Y, Z] bool.
    affine: 4x4, from voxel to mm of the scan.
    to_scan: 4x4, from mm of the template to mm of the scan.
  """

  image: np.ndarray
  brain: np.ndarray
  tissue: np.ndarray
  affine: np.ndarray
  to_scan: np.ndarray


class Shape(NamedTuple):
  """Shape of a lesion, cropped to its bounding box with a margin of one voxel.

  Attributes:
    mask: Lesion mask, [X, Y, Z] bool.
    affine: 4x4, from voxel of the box to mm of the template.
    name: Name of the file.
  """

  mask: np.ndarray
  affine: np.ndarray
  name: str


@functools.lru_cache(maxsize=128)
def read_shape(path: str) -> Shape:
  """Reads a lesion mask file in MNI space, binarised at half of its maximum."""
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
  """Places a lesion shape in a head: mirrored, scaled and moved at random.

  Mirrored about the midplane with probability 1/2; scaled by a factor in [0.4, 1.6]
  that brings it towards `volume`, times one in [0.95, 1.05]; moved by a normal shift
  with standard deviation 6 mm along each axis.

  Args:
    shape: Lesion shape in MNI space.
    head: The scan that gets the lesion.
    volume: Target volume in ml.
    random: Random number generator.

  Returns:
    Lesion mask [X, Y, Z] bool on the grid of the scan, not restricted to the tissue;
    and the placement: file name, 'mirrored', 'scale', 'shift_mm'.
  """
  points = np.argwhere(shape.mask)
  mirrored = bool(random.random() < 0.5)
  mirror = np.diag([-1.0 if mirrored else 1.0, 1, 1, 1])
  placed_affine = head.to_scan @ mirror @ shape.affine
  shape_volume = len(points) * abs(np.linalg.det(placed_affine[:3, :3])) / 1000
  scale = np.clip((volume / shape_volume) ** (1 / 3), 0.4, 1.6)
  scale = scale * random.uniform(0.95, 1.05)
  shift = random.normal(0, 6, 3)
  centre = placed_affine[:3, :3] @ points.mean(0) + placed_affine[:3, 3]
  about = np.eye(4)
  about[:3, :3] *= scale
  about[:3, 3] = centre + shift - scale * centre
  to_shape = np.linalg.inv(about @ placed_affine) @ head.affine
  mask = grid.sample_mask(shape.mask, to_shape, head.image.shape)
  placement = {
    'mask': shape.name,
    'mirrored': mirrored,
    'scale': round(float(scale), 4),
    'shift_mm': [round(float(s), 2) for s in shift],
  }
  return mask, placement


def draw_masks(
  head: Head,
  shapes: Sequence[str],
  fraction: float,
  random: np.random.Generator,
  tries: int = 60,
) -> tuple[np.ndarray, list[dict[str, Any]]]:
  """Draws a lesion mask of one to four parts that fill about `fraction` of the brain.

  A part is accepted if 85 % of it or more lies in tissue and outside of the parts
  before it, if it is larger than 0.2 ml, and if the total exceeds the target by less
  than a half.

  Args:
    head: The scan that gets the lesions.
    shapes: Paths of lesion mask files in MNI space.
    fraction: Target volume of the lesions, relative to the volume of the brain.
    random: Random number generator.
    tries: Largest number of parts that are drawn, accepted or not.

  Returns:
    Lesion mask [X, Y, Z] bool inside the tissue; and the placement of each accepted
    part, see `place`, with its volume 'ml'.

  Raises:
    ValueError: None of the parts was accepted.
  """
  voxel = abs(np.linalg.det(head.affine[:3, :3])) / 1000
  target = fraction * head.brain.sum() * voxel
  parts = int(random.integers(1, 4))
  lesion, placements = np.zeros(head.brain.shape, bool), []
  for _ in range(tries):
    missing = target - lesion.sum() * voxel
    if missing < 0.15 * target or len(placements) == 4:
      break
    volume = min(missing, target / parts)
    path = shapes[random.integers(len(shapes))]
    mask, placement = place(read_shape(path), head, volume, random)
    inside = mask & head.tissue & ~lesion
    size = inside.sum() * voxel
    if size < 0.85 * mask.sum() * voxel or not 0.2 < size < missing + 0.5 * target:
      continue
    lesion |= inside
    placements.append(placement | {'ml': round(float(size), 3)})
  if not placements:
    raise ValueError(
      f'none of {len(shapes)} lesion masks fits the brain in {tries} tries; '
      'allowed are masks in MNI space (mm)'
    )
  return lesion, placements


def paint(
  head: Head, lesion: np.ndarray, kind: str, random: np.random.Generator
) -> tuple[np.ndarray, dict[str, Any]]:
  """Changes the intensities of a scan inside a lesion mask.

  'dark' and 'bright': I' = I (1 + w (f - 1)), with w the lesion mask with a soft edge,
  restricted to the tissue, and f drawn uniformly from `FACTORS`. 'iso': the local mean
  with a random texture (Gaussian noise smoothed to 3 mm FWHM) replaces the anatomical
  detail; the mean intensity over the lesion is unchanged.

  Args:
    head: The healthy scan.
    lesion: Lesion mask, [X, Y, Z] bool.
    kind: One of `KINDS`.
    random: Random number generator.

  Returns:
    Scan with the lesion, [X, Y, Z]; and the strength: {'factor': f} or
    {'texture': TEXTURE}.

  Raises:
    ValueError: The kind is unknown.
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
  replacement = mean * (1 + TEXTURE * grain / grain.std())
  change = weight * (replacement - image)
  # The correction of the mean has the soft weight too, so that it makes no edge.
  change -= weight * change[lesion].sum() / weight[lesion].sum()
  return image + change, {'texture': TEXTURE}
