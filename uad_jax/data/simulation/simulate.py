"""Simulated subjects: warped MNI152 anatomy, imaged by one of several scanners.

A subject is made in its own space. Each point p (mm) has the anatomy of the template at
A(p + u(p)), with u the displacement of exp(v) for the subject's stationary velocity v
(random at several scales, plus ageing), and A an affine. Tissues get intensities of the
contrast, the T1 template's own detail gives texture, then come bias field, slice
thickness and Rician noise. A lesion subject is made twice, with and without its lesion,
by the same draws: the second is its twin.

The source domain is T1, as the project's real healthy scans are; white-matter lesions
are therefore dark and no brighter than grey matter, which intensity alone cannot tell.
"""

import hashlib
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from uad_jax.data.preprocessing.tissue_classes import CLASSES
from uad_jax.data.simulation import deform
from uad_jax.data.simulation.anatomy import at, field_grid, look_up, points
from uad_jax.data.simulation.pathology import KINDS, Candidates, draw_noise
from uad_jax.data.simulation.scanner import (
  DOMAINS,
  bias_field,
  draw_signal,
  scanned,
  signal,
  with_lesion,
)

STEPS = 4096
"""Final intensities are multiples of 1 / STEPS: rounding differences vanish in them."""


class Grid(NamedTuple):
  """Where a subject is imaged.

  Attributes:
    shape: Of the whole volume, RAS axes.
    spacing: mm.
    slices: Indices along z that are imaged.
    fine: In-plane samples of a voxel along each axis, for partial volume.
  """

  shape: tuple[int, int, int]
  spacing: float
  slices: tuple[int, ...]
  fine: int = 1

  def affine(self) -> np.ndarray:
    """Voxel to mm: the head's middle in the middle of the grid."""
    result = np.diag([self.spacing] * 3 + [1.0])
    middle = np.array([0.0, -18.0, 8.0])
    result[:3, 3] = middle - self.spacing * (np.array(self.shape) - 1) / 2
    return result


class Subject(NamedTuple):
  """A simulated subject on its grid; arrays [X, Y, slices, ...].

  Attributes:
    image: [..., 1] in [0, about 1], 0 outside the brain.
    twin: The same without the lesion.
    mask: [..., 1] brain.
    lesion: [..., 1].
    labels: [..., 1] of `tissue_classes.CLASSES`.
    velocity: [..., 3] of the healthy subject's v, voxels of the grid.
    details: All parameters.
  """

  image: np.ndarray
  twin: np.ndarray
  mask: np.ndarray
  lesion: np.ndarray
  labels: np.ndarray
  velocity: np.ndarray
  details: dict


def generator(seed: int, name: str) -> np.random.Generator:
  """Each subject's own, whatever the others are."""
  digest = hashlib.sha256(name.encode()).digest()
  return np.random.default_rng([seed, int.from_bytes(digest[:8], 'little')])


def sample_points(grid: Grid, thickness: float) -> np.ndarray:
  """The points [X f, Y f, slices, T, 3] whose means make the voxels, mm."""
  layers = max(1, round(thickness / 2.0))
  fine, affine = grid.fine, grid.affine()
  axes = [(np.arange(n * fine) + 0.5) / fine - 0.5 for n in grid.shape[:2]]
  heights = (np.arange(layers) + 0.5) / layers - 0.5
  heights = np.array(grid.slices)[:, None] + heights[None] * thickness / grid.spacing
  x, y, z = np.meshgrid(*axes, heights.reshape(-1), indexing='ij')
  mm = np.stack([x, y, z], -1) * grid.spacing + affine[:3, 3]
  return mm.reshape(*x.shape[:2], len(grid.slices), layers, 3).astype(np.float32)


def pooled(values: np.ndarray, grid: Grid) -> np.ndarray:
  """Means over the samples of each voxel, [X, Y, slices, ...]."""
  values = values.mean(3)
  x, y = grid.shape[:2]
  return values.reshape(x, grid.fine, y, grid.fine, *values.shape[2:]).mean((1, 3))


def _candidates(u: np.ndarray, affine: np.ndarray, heights) -> Candidates:
  """The field grid's points in the imaged slab, with what the template says of them."""
  shape, grid_affine = field_grid()
  mm = points(shape, grid_affine)
  maps = look_up(_template(mm, u, affine))
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


def _template(mm: np.ndarray, u: np.ndarray, affine: np.ndarray) -> np.ndarray:
  """A(p + u(p)) for points p."""
  _, grid_affine = field_grid()
  moved = mm + at(u, grid_affine, mm)
  return moved @ np.float32(affine[:3, :3].T) + np.float32(affine[:3, 3])


def simulate(
  name: str, grid: Grid, domain: str = 'a', pathology: str = 'none', seed: int = 0
) -> Subject:
  """One subject.

  Args:
    name: Of the subject; with the seed it decides everything.
    grid: Where it is imaged.
    domain: Of `DOMAINS`.
    pathology: Of `pathology.KINDS`, or 'none'.
    seed: Of the cohort.
  """
  random, scanner = generator(seed, name), DOMAINS[domain]
  affine = deform.affine_of(random)
  age = float(random.uniform(0, 1))
  ratio = 1 + 2 * np.clip(age + 0.25 * random.standard_normal(), 0, 1)
  velocity = deform.random_velocity(random)
  velocity += deform.atrophy_velocity(ratio, 1.5 * age)
  u = deform.exponential(velocity)
  made = draw_signal(random, scanner)

  thickness = max(scanner.thickness, grid.spacing)
  mm = sample_points(grid, thickness)
  maps = look_up(_template(mm, u, affine))
  shares, ventricle = pooled(maps.tissue, grid), pooled(maps.ventricle, grid)
  mask = pooled(maps.brain, grid) > 0.5
  healthy = signal(maps, made)
  texture = random.standard_normal(mask.shape, np.float32)
  texture = np.repeat(np.repeat(texture, grid.fine, 0), grid.fine, 1)[..., None]
  sick, share, told = healthy, np.zeros(mm.shape[:-1], np.float32), {}
  if pathology != 'none':
    heights = (float(mm[..., 2].min()) + 4, float(mm[..., 2].max()) - 4)
    candidates = _candidates(u, affine, heights)
    noise = draw_noise(random)
    parts = KINDS[pathology](random, candidates, noise, mm, maps)
    if pathology == 'tumour':
      sick, told = _pushed(random, mm, parts, u, affine, made)
    sick = with_lesion(sick, parts, made, texture)
    share = np.max([part.share for part in parts], 0)
    told |= {'parts': [(p.tissue, p.amount, p.texture) for p in parts]}

  bias = pooled(bias_field(random, mm, scanner.bias), grid)
  noise = random.standard_normal((2, *mask.shape), np.float32) * scanner.noise
  images = [
    scanned(pooled(x, grid), bias, noise, scanner, grid.spacing)
    for x in (sick, healthy)
  ]
  low, high = np.percentile(images[0][mask], (0.5, 99.5))
  image, twin = (
    np.clip(np.round((x - low) / (high - low) * STEPS) / STEPS, 0, 1.5) * mask
    for x in images
  )
  classes = np.stack([0.35 * ~mask, *np.moveaxis(shares, -1, 0) * mask, ventricle], -1)
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
    'levels': made.levels.tolist(),
    'lesion': told,
  }
  return Subject(
    image[..., None].astype(np.float32),
    twin[..., None].astype(np.float32),
    mask[..., None].astype(np.uint8),
    ((pooled(share, grid) > 0.5) & mask)[..., None].astype(np.uint8),
    labels[..., None].astype(np.uint8),
    (at(velocity, field_affine, centre_mm) / grid.spacing).astype(np.float32),
    details,
  )


def _pushed(random, mm, parts, u, affine, made) -> tuple[np.ndarray, dict]:
  """The intensities of a brain pushed aside by the tumour's core."""
  core = parts[-1].share
  centre = (mm * core[..., None]).sum((0, 1, 2, 3)) / max(float(core.sum()), 1e-6)
  size, reach = float(random.uniform(2.0, 5.0)), float(random.uniform(14, 22))
  push = deform.exponential(deform.push_velocity(centre, reach, size))
  _, field_affine = field_grid()
  where = _template(mm + at(push, field_affine, mm), u, affine)
  told = {'centre_mm': centre.tolist(), 'push_mm': size, 'reach_mm': reach}
  return signal(look_up(where), made), told
