"""Functions that compute the deformations of simulated subjects, in mm.

A deformation is made of a stationary velocity field and an affine. Velocity and
displacement fields are [X, Y, Z, 3] on `anatomy.field_grid`, in mm. A point p of the
subject has the anatomy of the template at A(p + u(p)), where u = exp(v) - id is the
displacement field of the subject's velocity field v, and A is an affine.
"""

import functools

import numpy as np
from scipy import ndimage

from uad_jax.data.simulation.anatomy import (
  FIELD_MM,
  anatomy,
  field_grid,
  half_affine,
  halved,
  interpolate,
  points,
)

SQUARINGS = 6
"""Number of squarings in the exponential of a velocity field."""

SCALES_MM = {12.0: 1.2, 24.0: 2.2, 48.0: 2.6}
"""Sigma of the smoothing to standard deviation of the velocity field, both in mm."""

LARGEST_MM = 6.0
"""Largest length in mm of a vector of a random velocity field."""

VENTRICLE_MM, SULCUS_MM = 6.0, 3.0
"""Sigmas in mm of the smoothing of ventricles and of sulcal CSF, for ageing."""


def exponential(velocity: np.ndarray, squarings: int = SQUARINGS) -> np.ndarray:
  """Computes the displacement field that a stationary velocity field generates.

  It is u = exp(v) - id for the velocity field v. The exponential is computed by scaling
  and squaring.

  Args:
    velocity: [X, Y, Z, 3] in mm on the field grid.
    squarings: Number of squarings; the field is first divided by 2^squarings.

  Returns:
    Displacement field [X, Y, Z, 3] in mm.
  """
  displacement = velocity / 2**squarings
  for _ in range(squarings):
    displacement = composed(displacement, displacement)
  return displacement


def composed(first: np.ndarray, second: np.ndarray) -> np.ndarray:
  """Composes two displacement fields into one that applies `second`, then `first`.

  It is u(p) = second(p) + first(p + second(p)). All fields are [X, Y, Z, 3] in mm on
  the field grid.
  """
  shape = second.shape[:3]
  places = np.indices(shape, np.float32) + np.moveaxis(second, -1, 0) / FIELD_MM
  moved = [
    ndimage.map_coordinates(first[..., c], places, order=1, mode='nearest')
    for c in range(3)
  ]
  return second + np.stack(moved, -1)


def smooth_field(random: np.random.Generator, sigma_mm: float) -> np.ndarray:
  """Samples a smooth random vector field with standard deviation 1.

  It is normal noise, smoothed by a Gaussian filter.

  Args:
    random: Random generator.
    sigma_mm: Sigma of the Gaussian in mm.

  Returns:
    [X, Y, Z, 3] on the field grid.
  """
  shape, _ = field_grid()
  noise = random.standard_normal((*shape, 3), np.float32)
  sigma = sigma_mm / FIELD_MM
  for c in range(3):
    noise[..., c] = ndimage.gaussian_filter(noise[..., c], sigma, mode='wrap')
  return noise / noise.std()


def random_velocity(random: np.random.Generator) -> np.ndarray:
  """Samples a velocity field that models the normal variability between subjects.

  [X, Y, Z, 3] in mm on the field grid. It is a sum of smooth noise at `SCALES_MM`; its
  longest vector has at most `LARGEST_MM`.
  """
  velocity = sum(size * smooth_field(random, s) for s, size in SCALES_MM.items())
  largest = np.linalg.norm(velocity, axis=-1).max()
  return velocity * np.float32(min(1.0, LARGEST_MM / largest))


@functools.cache
def _toward_fluid(region: str) -> np.ndarray:
  """Gradient of the smoothed CSF of 'ventricles' or 'sulci', on the field grid.

  Its largest component is 1. As a velocity field it maps points into the CSF, so that
  the subject has more CSF there.
  """
  maps, (shape, affine) = anatomy(), field_grid()
  fluid, sigma = halved(maps.ventricle), VENTRICLE_MM
  if region == 'sulci':
    fluid = halved(maps.tissue[..., 0] * maps.brain - maps.ventricle)
    sigma = SULCUS_MM
  smooth = ndimage.gaussian_filter(fluid, sigma / 2)
  slope = np.stack(np.gradient(smooth), -1)
  field = interpolate(slope.astype(np.float32), half_affine(), points(shape, affine))
  return field / np.abs(field).max()


def _inflation(size_mm: float) -> np.ndarray:
  """Velocity field that enlarges the ventricles, its largest component `size_mm`."""
  return np.float32(size_mm) * _toward_fluid('ventricles')


@functools.cache
def _ratios() -> tuple[np.ndarray, np.ndarray]:
  """Sizes of `_inflation` in mm, [8], and the ventricles' relative volume at each."""
  maps, (shape, affine) = anatomy(), field_grid()
  mm = points(shape, affine)
  smooth = ndimage.gaussian_filter(halved(maps.ventricle), 1.0)
  sizes = np.linspace(0, 14, 8)
  volumes = [
    interpolate(smooth, half_affine(), mm + exponential(_inflation(s))).sum()
    for s in sizes
  ]
  return sizes, np.array(volumes) / volumes[0]


def atrophy_velocity(ratio: float, sulci_mm: float) -> np.ndarray:
  """Computes a velocity field that models ageing: larger ventricles, wider sulci.

  [X, Y, Z, 3] in mm on the field grid.

  Args:
    ratio: Volume of the ventricles relative to the template's, 1 or more.
    sulci_mm: Approximate widening of the sulci in mm.
  """
  sizes, ratios = _ratios()
  size = float(np.interp(ratio, ratios, sizes))
  return _inflation(size) + np.float32(sulci_mm) * _toward_fluid('sulci')


def push_velocity(centre: np.ndarray, reach_mm: float, size_mm: float) -> np.ndarray:
  """Computes a velocity field that models how a tumour pushes tissue outwards.

  [X, Y, Z, 3] in mm on the field grid: v(p) = -size (p - c) / reach exp(1/2 - |p - c|^2
  / (2 reach^2)). It points inwards, because the subject's anatomy at p is the
  template's at p + u(p).

  Args:
    centre: Centre c of the push, [3] in mm.
    reach_mm: Distance in mm from the centre at which the push is largest.
    size_mm: Length of the velocity at that distance, in mm.
  """
  shape, affine = field_grid()
  offset = points(shape, affine) - np.float32(centre)
  square = (offset**2).sum(-1, keepdims=True) / np.float32(reach_mm) ** 2
  return -np.float32(size_mm / reach_mm) * offset * np.exp(0.5 - 0.5 * square)


def random_affine(random: np.random.Generator) -> np.ndarray:
  """Samples a random affine that maps a simulated subject to the MNI152 template.

  It is 4x4, from subject mm to template mm, with rotations up to 5 degrees, scales up
  to 8 % and shifts up to 3 mm along each axis.
  """
  angles = np.deg2rad(random.uniform(-5, 5, 3))
  scales = 1 / random.uniform(0.92, 1.08, 3)
  result = np.eye(4)
  for axis, angle in enumerate(angles):
    rotation, (i, j) = np.eye(4), [k for k in range(3) if k != axis]
    rotation[i, i] = rotation[j, j] = np.cos(angle)
    rotation[i, j], rotation[j, i] = -np.sin(angle), np.sin(angle)
    result = rotation @ result
  result = result @ np.diag([*scales, 1.0])
  result[:3, 3] = random.uniform(-3, 3, 3)
  return result
