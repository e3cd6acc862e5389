"""Functions that simulate brain scans of subjects by deforming the MNI152 template.

There are several scanners. Each point p (mm) of the subject has the anatomy of the
template at A(p + u(p)). Here A is an affine and u = exp(v) - id the displacement field
of the subject's velocity field v, which has random parts at several scales and a part
of ageing. Tissues get the intensities of a contrast, and the fine detail of the T1
template as texture; then follow bias field, slice thickness and Rician noise. A subject
with a lesion is imaged twice from the same random numbers, with and without its lesion;
the second image is the lesion-free twin.

The source domain is T1, like the healthy scans of the real cohorts. Lesions of white
matter are dark in it, no brighter than grey matter, so that intensity alone cannot
detect them.
"""

import hashlib
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from uad_jax.data.preprocessing.tissue_classes import CLASSES
from uad_jax.data.simulation import deform
from uad_jax.data.simulation.anatomy import field_grid, interpolate, look_up, points
from uad_jax.data.simulation.pathology import KINDS, Candidates, draw_noise
from uad_jax.data.simulation.scanner import (
  DOMAINS,
  bias_field,
  draw_contrast,
  scanned,
  signal,
  with_lesion,
)

STEPS = 4096
"""Final intensities are rounded to multiples of 1 / STEPS.

Differences in floating-point rounding, such as by another order of a sum, vanish then,
and fingerprints stay the same.
"""


class Grid(NamedTuple):
  """Grid of voxels on which a subject is imaged.

  Attributes:
    shape: Shape of the whole volume in voxels, RAS axes.
    spacing: Voxel size in mm, the same along all axes.
    slices: Indices along z of the slices that are imaged.
    fine: Number of samples in a voxel along x and along y, for partial volumes.
  """

  shape: tuple[int, int, int]
  spacing: float
  slices: tuple[int, ...]
  fine: int = 1

  def affine(self) -> np.ndarray:
    """Returns the affine that maps voxel indices of the whole volume to mm.

    It is 4x4 and puts the centre of the volume at the centre of the head.
    """
    result = np.diag([self.spacing] * 3 + [1.0])
    middle = np.array([0.0, -18.0, 8.0])
    result[:3, 3] = middle - self.spacing * (np.array(self.shape) - 1) / 2
    return result


class Subject(NamedTuple):
  """Images, masks and random parameters of one simulated subject.

  The arrays hold the imaged slices of a grid.

  Attributes:
    image: Image [X, Y, slices, 1] float32; brain about [0, 1], 0 outside.
    twin: Lesion-free twin of the image, [X, Y, slices, 1] float32.
    mask: Brain mask [X, Y, slices, 1], uint8.
    lesion: Lesion mask [X, Y, slices, 1], uint8.
    labels: Index into `tissue_classes.CLASSES`, [X, Y, slices, 1] uint8.
    velocity: Velocity field of the healthy subject, [X, Y, slices, 3] float32, in
      voxels of the grid; a tumour's mass effect is not part of it.
    details: The random parameters of the subject; can be written as JSON.
  """

  image: np.ndarray
  twin: np.ndarray
  mask: np.ndarray
  lesion: np.ndarray
  labels: np.ndarray
  velocity: np.ndarray
  details: dict


def generator(seed: int, name: str) -> np.random.Generator:
  """Returns a random generator seeded by the cohort's seed and the subject's name."""
  digest = hashlib.sha256(name.encode()).digest()
  return np.random.default_rng([seed, int.from_bytes(digest[:8], 'little')])


def sample_points(grid: Grid, thickness: float) -> np.ndarray:
  """Computes the sample points of each voxel, in mm, for partial volume averaging.

  The values at these points are averaged over each voxel by `pooled`.

  Args:
    grid: Grid of the voxels.
    thickness: Slice thickness in mm; T = thickness / 2 (rounded) points lie along z.

  Returns:
    [X F, Y F, slices, T, 3], F = grid.fine.
  """
  layers = max(1, round(thickness / 2.0))
  fine, affine = grid.fine, grid.affine()
  axes = [(np.arange(n * fine) + 0.5) / fine - 0.5 for n in grid.shape[:2]]
  heights = (np.arange(layers) + 0.5) / layers - 0.5
  heights = np.array(grid.slices)[:, None] + heights[None] * thickness / grid.spacing
  x, y, z = np.meshgrid(*axes, heights.reshape(-1), indexing='ij')
  mm = np.stack([x, y, z], -1) * grid.spacing + affine[:3, 3]
  return mm.reshape(*x.shape[:2], len(grid.slices), layers, 3).astype(np.float32)


def pooled(values: np.ndarray, grid: Grid) -> np.ndarray:
  """Averages the values at the sample points of a voxel, for each voxel of a grid.

  The sample points are those of `sample_points`.

  Args:
    values: [X F, Y F, slices, T, ...], F = grid.fine.
    grid: Grid of the voxels.

  Returns:
    [X, Y, slices, ...].
  """
  values = values.mean(3)
  x, y = grid.shape[:2]
  return values.reshape(x, grid.fine, y, grid.fine, *values.shape[2:]).mean((1, 3))


def _candidates(u: np.ndarray, affine: np.ndarray, heights) -> Candidates:
  """Candidates for lesions: points of the field grid in the brain, by height in mm."""
  shape, grid_affine = field_grid()
  mm = points(shape, grid_affine)
  maps = look_up(_to_template(mm, u, affine))
  brain = maps.brain > 0.5
  surface = ndimage.distance_transform_edt(brain) * deform.FIELD_MM
  keep = brain & (mm[..., 2] >= heights[0]) & (mm[..., 2] <= heights[1])
  return Candidates(
    mm[keep],
    maps.tissue[..., 2][keep],
    maps.tissue[..., 1][keep],
    maps.depth[keep],
    surface[keep].astype(np.float32),
  )


def _to_template(mm: np.ndarray, u: np.ndarray, affine: np.ndarray) -> np.ndarray:
  """Maps points p of the subject to the template, A(p + u(p)), in mm."""
  _, grid_affine = field_grid()
  moved = mm + interpolate(u, grid_affine, mm)
  return moved @ np.float32(affine[:3, :3].T) + np.float32(affine[:3, 3])


def simulate(
  name: str, grid: Grid, domain: str = 'a', pathology: str = 'none', seed: int = 0
) -> Subject:
  """Simulates the images of one subject, with or without a lesion.

  The same arguments always give the same bytes.

  Args:
    name: Name of the subject; it fixes all random numbers together with `seed`.
    grid: Grid on which the subject is imaged.
    domain: Scanner, a key of `scanner.DOMAINS`.
    pathology: Kind of lesion, a key of `pathology.KINDS`, or 'none'.
    seed: Seed of the cohort.
  """
  random, scanner = generator(seed, name), DOMAINS[domain]
  affine = deform.random_affine(random)
  age = float(random.uniform(0, 1))
  ratio = 1 + 2 * np.clip(age + 0.25 * random.standard_normal(), 0, 1)
  velocity = deform.random_velocity(random)
  velocity += deform.atrophy_velocity(ratio, 1.5 * age)
  u = deform.exponential(velocity)
  contrast = draw_contrast(random, scanner)

  thickness = max(scanner.thickness, grid.spacing)
  mm = sample_points(grid, thickness)
  maps = look_up(_to_template(mm, u, affine))
  fractions, ventricle = pooled(maps.tissue, grid), pooled(maps.ventricle, grid)
  mask = pooled(maps.brain, grid) > 0.5
  healthy = signal(maps, contrast)
  texture = random.standard_normal(mask.shape, np.float32)
  texture = np.repeat(np.repeat(texture, grid.fine, 0), grid.fine, 1)[..., None]
  diseased, share = healthy, np.zeros(mm.shape[:-1], np.float32)
  lesion_details = {}
  if pathology != 'none':
    heights = (float(mm[..., 2].min()) + 4, float(mm[..., 2].max()) - 4)
    candidates = _candidates(u, affine, heights)
    noise = draw_noise(random)
    parts = KINDS[pathology](random, candidates, noise, mm, maps)
    if pathology == 'tumour':
      diseased, lesion_details = _with_mass_effect(
        random, mm, parts, u, affine, contrast
      )
    diseased = with_lesion(diseased, parts, contrast, texture)
    share = np.max([part.share for part in parts], 0)
    lesion_details |= {'parts': [(p.tissue, p.amount, p.texture) for p in parts]}

  bias = pooled(bias_field(random, mm, scanner.bias), grid)
  noise = random.standard_normal((2, *mask.shape), np.float32) * scanner.noise
  images = [
    scanned(pooled(x, grid), bias, noise, scanner, grid.spacing)
    for x in (diseased, healthy)
  ]
  low, high = np.percentile(images[0][mask], (0.5, 99.5))
  image, twin = (
    np.clip(np.round((x - low) / (high - low) * STEPS) / STEPS, 0, 1.5) * mask
    for x in images
  )
  brain = np.moveaxis(fractions, -1, 0) * mask
  classes = np.stack([0.35 * ~mask, *brain, ventricle], -1)
  classes[..., CLASSES.index('csf')] -= ventricle
  labels = np.argmax(classes, -1) * mask
  _, field_affine = field_grid()
  centre_mm = pooled(mm, grid)
  details = {
    'seed': seed,
    'age': age,
    'ventricle_ratio': float(ratio),
    'affine': affine.tolist(),
    'domain': scanner._asdict(),
    'levels': contrast.levels.tolist(),
    'lesion': lesion_details,
  }
  return Subject(
    image[..., None].astype(np.float32),
    twin[..., None].astype(np.float32),
    mask[..., None].astype(np.uint8),
    ((pooled(share, grid) > 0.5) & mask)[..., None].astype(np.uint8),
    labels[..., None].astype(np.uint8),
    (interpolate(velocity, field_affine, centre_mm) / grid.spacing).astype(np.float32),
    details,
  )


def _with_mass_effect(
  random, mm, parts, u, affine, contrast
) -> tuple[np.ndarray, dict]:
  """Healthy intensities of a brain that a tumour's core pushes aside, and details."""
  core = parts[-1].share
  centre = (mm * core[..., None]).sum((0, 1, 2, 3)) / max(float(core.sum()), 1e-6)
  size, reach = float(random.uniform(2.0, 5.0)), float(random.uniform(14, 22))
  push = deform.exponential(deform.push_velocity(centre, reach, size))
  _, field_affine = field_grid()
  moved = _to_template(mm + interpolate(push, field_affine, mm), u, affine)
  details = {'centre_mm': centre.tolist(), 'push_mm': size, 'reach_mm': reach}
  return signal(look_up(moved), contrast), details
