"""Pair of volumes for an affine registration, and functions that prepare the pair.

One of the functions computes the similarity of the pair for a given affine.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from uad_jax.registration.global_similarity import MEASURES
from uad_jax.registration.warp import grid, sample


class Problem(NamedTuple):
  """Fixed and moving image of one subject at one resolution, with their grids.

  Attributes:
    moving: Moving volume [X, Y, Z] in [0, 1].
    fixed: Fixed volume [X', Y', Z'] in [0, 1].
    weight: Weights of the fixed voxels, as fixed, not negative.
    fixed_to_mm: [4, 4], from voxels of the fixed grid to mm. In `affine.register` the
      origin of the mm is the centre of the fixed brain.
    mm_to_moving: [4, 4], from mm to voxels of the moving grid. In `affine.register` the
      origin of the mm is the centre of the moving brain.
  """

  moving: jax.Array
  fixed: jax.Array
  weight: jax.Array
  fixed_to_mm: jax.Array
  mm_to_moving: jax.Array


def agreement(affine: jax.Array, problem: Problem, similarity: str) -> jax.Array:
  """Computes the similarity of two volumes after resampling one by an affine.

  The moving volume is resampled on the grid of the fixed volume.

  Args:
    affine: [4, 4], from mm of the fixed volume to mm of the moving volume.
    problem: The two volumes and their grids.
    similarity: Name from `global_similarity.MEASURES`.

  Returns:
    Scalar; greater is more similar.

  Examples:
    >>> volume = jnp.zeros((4, 4, 4)).at[1:3, 1:3, 1:3].set(1.0)
    >>> same = jnp.eye(4)
    >>> problem = Problem(volume, volume, jnp.ones((4, 4, 4)), same, same)
    >>> round(float(agreement(same, problem, 'ncc')), 4)
    1.0
  """
  to_voxel = problem.mm_to_moving @ affine @ problem.fixed_to_mm
  points = grid(problem.fixed.shape).reshape(-1, 3) @ to_voxel[:3, :3].T
  points = points + to_voxel[None, :3, 3]
  warped = sample(problem.moving[None, ..., None], points[None], padding='zeros')
  fixed, weight = problem.fixed.reshape(1, -1), problem.weight.reshape(1, -1)
  return MEASURES[similarity](warped[..., 0], fixed, weight)[0]


def centre_and_extent(
  image: jax.Array, affine: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """Computes the centre and the extent of the brain in mm.

  The brain is the set of voxels that are not 0.

  Args:
    image: [X, Y, Z], 0 outside of the brain.
    affine: Voxel to mm, [4, 4].

  Returns:
    The translation [4, 4] that moves the origin to the brain's centre; the standard
    deviation of the brain's voxels along x, y and z, [3], at least 1 mm.

  Examples:
    >>> image = jnp.zeros((8, 8, 8)).at[1:6, 2, 3].set(1.0)
    >>> centre, extent = centre_and_extent(image, jnp.eye(4))
    >>> centre[:3, 3].tolist()
    [3.0, 2.0, 3.0]
    >>> [round(deviation, 3) for deviation in extent.tolist()]
    [1.414, 1.0, 1.0]
  """
  inside = (image != 0).reshape(1, -1).astype(jnp.float32)
  inside = inside / jnp.maximum(inside.sum(), 1)
  # About the middle of the grid, so that no digits are lost.
  middle = (jnp.array(image.shape) - 1) / 2
  voxels = grid(image.shape).reshape(-1, 3) - middle[None]
  mean = inside @ voxels
  offset = (voxels - mean) @ affine[:3, :3].T
  centre = affine[:3, :3] @ (middle + mean[0]) + affine[:3, 3]
  extent = jnp.sqrt(jnp.maximum(inside @ offset**2, 1))[0]
  return jnp.eye(4).at[:3, 3].set(centre), extent


def normalised(image: jax.Array) -> jax.Array:
  """Rescales the intensities of an image to the range from 0 to 1.

  Intensities are clipped at the 0.1 % and 99.9 % quantiles of the image, which become
  0 and 1.
  """
  low, high = jnp.quantile(image, jnp.array([0.001, 0.999]))
  return jnp.clip((image - low) / jnp.maximum(high - low, 1e-12), 0, 1)


def halved(problem: Problem) -> Problem:
  """Halves the resolution of both volumes by averaging blocks of 2x2x2 voxels.

  Examples:
    >>> volume, same = jnp.ones((4, 4, 6)), jnp.eye(4)
    >>> halved(Problem(volume, volume, volume, same, same)).fixed.shape
    (2, 2, 3)
  """

  def means(image):
    return image.reshape([m for n in image.shape for m in (n // 2, 2)]).mean((1, 3, 5))

  to_fine = jnp.diag(jnp.array([2.0, 2, 2, 1])).at[:3, 3].set(0.5)
  fixed_to_mm = problem.fixed_to_mm @ to_fine
  mm_to_moving = jnp.linalg.inv(to_fine) @ problem.mm_to_moving
  return Problem(*map(means, problem[:3]), fixed_to_mm, mm_to_moving)
