"""Known deformations of simulated subjects, as stationary velocity fields in mm.

Fields live on `anatomy.field_grid`. A point p of the subject has its anatomy at
A(p + u(p)) of the template: u = exp(v) - id is the displacement of the subject's
velocity v, A an affine.
"""

import functools

import numpy as np
from scipy import ndimage

from uad_jax.data.simulation.anatomy import (
  FIELD_MM,
  anatomy,
  at,
  field_grid,
  half_affine,
  halved,
  points,
)

SQUARINGS = 6
SCALES_MM = {12.0: 1.2, 24.0: 2.2, 48.0: 2.6}
"""Smoothness (standard deviation) to typical size of the velocity, both in mm."""

LARGEST_MM = 6.0
VENTRICLE_MM, SULCUS_MM = 6.0, 3.0


def exponential(velocity: np.ndarray, squarings: int = SQUARINGS) -> np.ndarray:
  """Displacement of exp(v) by scaling and squaring; [X, Y, Z, 3] in mm."""
  displacement = velocity / 2**squarings
  for _ in range(squarings):
    displacement = composed(displacement, displacement)
  return displacement


def composed(first: np.ndarray, second: np.ndarray) -> np.ndarray:
  """u(p) = second(p) + first(p + second(p)), on the field grid."""
  shape = second.shape[:3]
  where = np.indices(shape, np.float32) + np.moveaxis(second, -1, 0) / FIELD_MM
  moved = [
    ndimage.map_coordinates(first[..., c], where, order=1, mode='nearest')
    for c in range(3)
  ]
  return second + np.stack(moved, -1)


def smooth_field(random: np.random.Generator, sigma_mm: float) -> np.ndarray:
  """Vector noise of unit deviation, smooth at `sigma_mm`; on the field grid."""
  shape, _ = field_grid()
  noise = random.standard_normal((*shape, 3), np.float32)
  sigma = sigma_mm / FIELD_MM
  for c in range(3):
    noise[..., c] = ndimage.gaussian_filter(noise[..., c], sigma, mode='wrap')
  return noise / noise.std()


def random_velocity(random: np.random.Generator) -> np.ndarray:
  """Normal variability at several scales, at most `LARGEST_MM` anywhere."""
  velocity = sum(size * smooth_field(random, s) for s, size in SCALES_MM.items())
  largest = np.linalg.norm(velocity, axis=-1).max()
  return velocity * np.float32(min(1.0, LARGEST_MM / largest))


@functools.cache
def _towards(what: str) -> np.ndarray:
  """Gradient of the smoothed share of ventricle or of sulcal fluid, on the field grid.

  As a velocity it draws points into the fluid, so the subject has more of it.
  """
  found, (shape, affine) = anatomy(), field_grid()
  share, sigma = halved(found.ventricle), VENTRICLE_MM
  if what == 'sulci':
    share = halved(found.tissue[..., 0] * found.brain - found.ventricle)
    sigma = SULCUS_MM
  smooth = ndimage.gaussian_filter(share, sigma / 2)
  slope = np.stack(np.gradient(smooth), -1)
  field = at(slope.astype(np.float32), half_affine(), points(shape, affine))
  return field / np.abs(field).max()


def _inflation(size: float) -> np.ndarray:
  return np.float32(size) * _towards('ventricles')


@functools.cache
def _ratios() -> tuple[np.ndarray, np.ndarray]:
  """Sizes of the inflating velocity (mm), and how many times larger ventricles get."""
  found, (shape, affine) = anatomy(), field_grid()
  mm = points(shape, affine)
  smooth = ndimage.gaussian_filter(halved(found.ventricle), 1.0)
  sizes = np.linspace(0, 14, 8)
  volumes = [
    at(smooth, half_affine(), mm + exponential(_inflation(s))).sum() for s in sizes
  ]
  return sizes, np.array(volumes) / volumes[0]


def atrophy_velocity(ratio: float, sulci_mm: float) -> np.ndarray:
  """Ageing: ventricles `ratio` times as large, sulci wider by about `sulci_mm`."""
  sizes, ratios = _ratios()
  size = float(np.interp(ratio, ratios, sizes))
  return _inflation(size) + np.float32(sulci_mm) * _towards('sulci')


def push_velocity(centre: np.ndarray, reach_mm: float, size_mm: float) -> np.ndarray:
  """Mass effect: the tissue about `centre` is pushed away by about `size_mm`.

  v(p) = -size (p - c) / reach exp(1/2 - |p - c|^2 / (2 reach^2)), largest at `reach`.
  """
  shape, affine = field_grid()
  offset = points(shape, affine) - np.float32(centre)
  square = (offset**2).sum(-1, keepdims=True) / np.float32(reach_mm) ** 2
  return -np.float32(size_mm / reach_mm) * offset * np.exp(0.5 - 0.5 * square)


def affine_of(random: np.random.Generator) -> np.ndarray:
  """A(p): rotations up to 5 degrees, scales up to 8 %, shifts up to 3 mm; 4x4, mm."""
  angles = np.deg2rad(random.uniform(-5, 5, 3))
  scales = 1 / random.uniform(0.92, 1.08, 3)
  result = np.eye(4)
  for axis, angle in enumerate(angles):
    turn, (i, j) = np.eye(4), [k for k in range(3) if k != axis]
    turn[i, i] = turn[j, j] = np.cos(angle)
    turn[i, j], turn[j, i] = -np.sin(angle), np.sin(angle)
    result = turn @ result
  result = result @ np.diag([*scales, 1.0])
  result[:3, 3] = random.uniform(-3, 3, 3)
  return result
