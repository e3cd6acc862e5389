"""Functions that draw lesion masks with real lesion shapes in healthy scans.

The shape is a hand-drawn lesion mask in MNI space. It is mapped to the subject by the
affine between template and scan, and mirrored, moved and scaled at random. Inside the
mask `lesion_mechanisms` change the intensities. The untouched scan is the lesion-free
twin (the same scan without the lesion), so that the ground truth is exact.
"""

import functools
import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from uad_jax.data.preprocessing import grid, nifti


class Head(NamedTuple):
  """Healthy scan into which lesions are inserted, with its brain and tissue masks.

  Attributes:
    image: Scan on its native grid, [X, Y, Z] float32.
    brain: Brain mask, [X, Y, Z] bool.
    tissue: Brain mask without the ventricles, [X, Y, Z] bool.
    affine: 4x4 matrix from voxel to mm of the scan.
    to_scan: 4x4 matrix from mm of the template to mm of the scan.
  """

  image: np.ndarray
  brain: np.ndarray
  tissue: np.ndarray
  affine: np.ndarray
  to_scan: np.ndarray


class Shape(NamedTuple):
  """Lesion mask in template space, cropped to the lesion with a margin of one voxel.

  Attributes:
    mask: Lesion mask, [X, Y, Z] bool.
    affine: 4x4 matrix from voxel of the box to mm of the template.
    name: Name of the file that holds the mask.
  """

  mask: np.ndarray
  affine: np.ndarray
  name: str


@functools.lru_cache(maxsize=128)
def read_shape(path: str) -> Shape:
  """Reads a lesion mask in MNI space and binarises it at half of its maximum."""
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
  """Places a lesion shape in a scan, randomly mirrored, scaled and moved.

  The shape is mirrored about the midplane with probability 1/2. It is scaled by the
  factor in [0.4, 1.6] whose result is nearest to `volume`, times a random factor in
  [0.95, 1.05]. It is moved along each axis by a normal random shift with standard
  deviation 6 mm.

  Args:
    shape: Lesion shape in MNI space.
    head: The scan that gets the lesion.
    volume: Target volume of the lesion in ml.
    random: Random number generator.

  Returns:
    Lesion mask [X, Y, Z] bool on the grid of the scan, not restricted to the tissue;
    and the placement: file name 'mask', 'mirrored', 'scale', 'shift_mm'.
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
  """Samples a lesion mask of one to four lesions, placed at random in a brain.

  Together the lesions fill about `fraction` of the brain.

  A lesion is accepted if 85 % of it or more lies in tissue and outside of the lesions
  before it, if it is larger than 0.2 ml, and if the total volume exceeds the target by
  less than a half.

  Args:
    head: The scan that gets the lesions.
    shapes: Paths of lesion mask files in MNI space.
    fraction: Target volume of the lesions, relative to the volume of the brain.
    random: Random number generator.
    tries: Largest number of lesions that are sampled, accepted or not.

  Returns:
    Mask [X, Y, Z] bool of all lesions, inside the tissue; and the placement of each
    accepted lesion, see `place`, with its volume 'ml'.

  Raises:
    ValueError: None of the lesions was accepted.
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
