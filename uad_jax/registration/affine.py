"""Functions that register volumes by affine maps and measure their similarity."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from uad_jax.ops.affine_matrix import matrix
from uad_jax.registration.affine_problem import (
  Problem,
  agreement,
  centre_and_extent,
  halved,
  normalised,
)
from uad_jax.registration.global_similarity import MEASURES

DEGREES = (6, 9, 12)
"""Allowed degrees of freedom: rigid; with a scale along each axis; with shears too."""


class Registration(NamedTuple):
  """Affine matrices that align a batch of volumes, and the similarity after alignment.

  Attributes:
    matrix: From mm of the fixed volume to mm of the moving volume, [B, 4, 4].
    similarity: Similarity at the full resolution, [B].
  """

  matrix: jax.Array
  similarity: jax.Array


@jax.jit(static_argnames=['similarity', 'degrees', 'levels', 'steps'])
def register(
  moving: jax.Array,
  moving_affine: jax.Array,
  fixed: jax.Array,
  fixed_affine: jax.Array,
  similarity: str = 'mutual_information',
  degrees: int = 12,
  weight: jax.Array | None = None,
  levels: int = 2,
  steps: int = 60,
) -> Registration:
  """Finds the affine map that best aligns each moving volume with its fixed volume.

  The best affine has the greatest similarity. It maps mm of the fixed volume to mm of
  the moving volume. The parameters are those of `ops.affine_matrix.matrix` about the
  brains' centres. The search starts where centre and extent of the voxels that are not
  0 agree, and goes by L-BFGS (Liu and Nocedal 1989) from the coarsest resolution to
  that of the arrays; each coarser grid holds the means of 2x2x2 voxels. The volumes are
  0 outside of the brain, so that its outline counts. A subject of 10^5 fixed voxels
  takes about 0.1 GB.

  Args:
    moving: Volumes without skull, of any intensity range, [B, X, Y, Z].
    moving_affine: Voxel to mm, [B, 4, 4].
    fixed: As moving, on another grid, [B, X', Y', Z'].
    fixed_affine: Voxel to mm, [B, 4, 4].
    similarity: 'ncc' (correlation of the whole volumes) or 'mutual_information'.
    degrees: 6, 9 or 12 free parameters, see `DEGREES`.
    weight: Weights of the fixed voxels, [B, X', Y', Z'], not negative; None is 1.
    levels: Number of resolutions; all sizes must be multiples of 2^(levels - 1).
    steps: Largest number of L-BFGS steps at each resolution.

  Returns:
    Affines [B, 4, 4] and similarities [B].

  Raises:
    ValueError: `degrees` or `similarity` is not allowed, or a size cannot be halved.

  Examples:
    >>> fixed = jnp.zeros((1, 8, 8, 8)).at[0, 2:5, 2:6, 1:6].set(1.0)
    >>> fixed = fixed.at[0, 3, 3, 3].set(2.0)
    >>> moving = jnp.roll(fixed, 1, axis=1)  # by one voxel of 1 mm along x
    >>> same = jnp.eye(4)[None]
    >>> result = register(moving, same, fixed, same, 'ncc', 6, levels=1, steps=1)
    >>> [round(mm, 2) + 0.0 for mm in result.matrix[0, :3, 3].tolist()]
    [1.0, 0.0, 0.0]
  """
  if degrees not in DEGREES:
    raise ValueError(f'affine has degrees={degrees}; allowed are {DEGREES}')
  odd = [n for n in (*moving.shape[1:], *fixed.shape[1:]) if n % 2 ** (levels - 1)]
  if odd:
    raise ValueError(
      f'affine with levels={levels} has grids with sizes {odd}; allowed are multiples '
      f'of {2 ** (levels - 1)}'
    )

  def register_subject(moving, moving_affine, fixed, fixed_affine, weight):
    to_centre, moving_extent = centre_and_extent(moving, moving_affine)
    from_centre, fixed_extent = centre_and_extent(fixed, fixed_affine)
    parameters = jnp.zeros(12)
    if degrees > 6:
      parameters = parameters.at[6:9].set(jnp.log(moving_extent / fixed_extent))
    fixed_to_mm = jnp.linalg.inv(from_centre) @ fixed_affine
    mm_to_moving = jnp.linalg.inv(moving_affine) @ to_centre
    full = Problem(
      normalised(moving), normalised(fixed), weight, fixed_to_mm, mm_to_moving
    )
    pyramid = [full]
    for _ in range(levels - 1):
      pyramid.append(halved(pyramid[-1]))
    for problem in reversed(pyramid):
      parameters, reached = _maximise(parameters, problem, similarity, degrees, steps)
    affine = to_centre @ matrix(parameters) @ jnp.linalg.inv(from_centre)
    return Registration(affine, reached)

  return _by_subject(
    register_subject, similarity, weight, moving, moving_affine, fixed, fixed_affine
  )


@jax.jit(static_argnames='similarity')
def measure(
  affine: jax.Array,
  moving: jax.Array,
  moving_affine: jax.Array,
  fixed: jax.Array,
  fixed_affine: jax.Array,
  similarity: str = 'mutual_information',
  weight: jax.Array | None = None,
) -> jax.Array:
  """Computes the similarity of fixed and moving volumes aligned by given affines.

  Args:
    affine: From mm of the fixed volume to mm of the moving volume, [B, 4, 4].
    moving: Volumes without skull, of any intensity range, [B, X, Y, Z].
    moving_affine: Voxel to mm, [B, 4, 4].
    fixed: As moving, on another grid, [B, X', Y', Z'].
    fixed_affine: Voxel to mm, [B, 4, 4].
    similarity: 'ncc' (correlation of the whole volumes) or 'mutual_information'.
    weight: Weights of the fixed voxels, [B, X', Y', Z'], not negative; None is 1.

  Returns:
    Similarities [B].

  Examples:
    >>> volume = jnp.zeros((1, 4, 4, 4)).at[0, 1:3, 1:3, 1:3].set(1.0)
    >>> same = jnp.eye(4)[None]
    >>> round(float(measure(same, volume, same, volume, same, 'ncc')[0]), 4)
    1.0
  """

  def measure_subject(affine, moving, moving_affine, fixed, fixed_affine, weight):
    mm_to_moving = jnp.linalg.inv(moving_affine)
    problem = Problem(
      normalised(moving), normalised(fixed), weight, fixed_affine, mm_to_moving
    )
    return agreement(affine, problem, similarity)

  arrays = (affine, moving, moving_affine, fixed, fixed_affine)
  return _by_subject(measure_subject, similarity, weight, *arrays)


def _by_subject(function, similarity, weight, *arrays):
  """Applies a function to each subject of a batch; a missing weight becomes 1."""
  if similarity not in MEASURES:
    raise ValueError(f"affine has similarity='{similarity}'; allowed are {[*MEASURES]}")
  weight = jnp.ones(arrays[-2].shape) if weight is None else weight
  # Accelerators would round the factors of these small products to 8 or 10 bits.
  with jax.default_matmul_precision('highest'):
    arrays = [jnp.asarray(x, jnp.float32) for x in (*arrays, weight)]
    return jax.vmap(function)(*arrays)


def _maximise(start, problem, similarity, degrees, steps, least_gain=1e-6):
  """Maximises the similarity by L-BFGS; returns the parameters [12] and the maximum.

  It stops after `steps` steps or after 3 steps in a row that gain at most `least_gain`.
  """
  scale = jnp.repeat(jnp.array([10.0, 0.1, 0.1, 0.1]), 3)  # mm, rad, log, 1

  def parameters(free):
    return start + scale * jnp.zeros(12).at[:degrees].set(free)

  def loss(free):
    return -agreement(matrix(parameters(free)), problem, similarity)

  search = optax.scale_by_zoom_linesearch(10, initial_guess_strategy='one')
  tx = optax.lbfgs(linesearch=search)
  value_and_slope = optax.value_and_grad_from_state(loss)

  def step(carry):
    free, state, idle, count = carry
    value, slope = value_and_slope(free, state=state)
    move, state = tx.update(slope, state, free, value=value, grad=slope, value_fn=loss)
    gain = value - optax.tree.get(state, 'value')
    idle = jnp.where(gain > least_gain, 0, idle + 1)
    return optax.apply_updates(free, move), state, idle, count + 1

  free = jnp.zeros(degrees)
  carry = (free, tx.init(free), 0, 0)
  free, *_ = jax.lax.while_loop(
    lambda carry: (carry[2] < 3) & (carry[3] < steps), step, carry
  )
  return parameters(free), -loss(free)
