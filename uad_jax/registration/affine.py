"""Affine registration of volumes: correlation or mutual information, by L-BFGS."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from uad_jax.ops.affine_matrix import matrix
from uad_jax.registration.warp import grid, sample

DEGREES = (6, 9, 12)
"""Rigid; with a scale along each axis; with shears too."""


class Found(NamedTuple):
  """What `register` finds: matrices, fixed mm to moving mm, and the similarity."""

  matrix: jax.Array  # [B, 4, 4]
  similarity: jax.Array  # [B]


class Problem(NamedTuple):
  """What does not change while one subject is aligned at one resolution."""

  moving: jax.Array  # [X, Y, Z] in [0, 1]
  fixed: jax.Array  # [X', Y', Z'] in [0, 1]
  weight: jax.Array  # as fixed
  before: jax.Array  # 4x4, fixed voxel to mm about the fixed centre
  after: jax.Array  # 4x4, mm about the moving centre to moving voxel


def correlation(a: jax.Array, b: jax.Array, weight=None) -> jax.Array:
  """Pearson's correlation over all of the volume, cov(a, b) / (std(a) std(b)), [B].

  Arrays are [B, ...]; the moments are weighted. Nearly flat images give 0.
  """
  a, b, weight = _flat(a, b, weight)
  a = a - (weight * a).sum(-1, keepdims=True)
  b = b - (weight * b).sum(-1, keepdims=True)
  covariance = (weight * a * b).sum(-1)
  variances = (weight * a**2).sum(-1) * (weight * b**2).sum(-1)
  return covariance / jnp.sqrt(jnp.maximum(variances, 1e-12))


def mutual_information(
  moving: jax.Array, fixed: jax.Array, weight: jax.Array | None = None, bins: int = 32
) -> jax.Array:
  """Mutual information of two images in nats, [B] (Mattes et al. 2003, eq. 3 to 5).

  p(m, f) = sum_x w(x) beta3(u(moving(x)) - m) beta0(u(fixed(x)) - f) / sum_x w(x),
  I = sum p(m, f) log(p(m, f) / (p(m) p(f))), with the cubic and the nearest B-spline as
  Parzen windows and u(v) = 1 + (bins - 3) v, so that no window passes an end. It has a
  derivative in `moving` and the weight; that in `fixed` is zero.

  Args:
    moving: [B, ...] in [0, 1]; what is outside counts as the end.
    fixed: As moving.
    weight: [B, ...], not negative.
    bins: Of each axis of the joint histogram.
  """
  moving, fixed, weight = _flat(moving, fixed, weight)
  centres = jnp.arange(bins, dtype=jnp.float32)[None, None]

  def distances(image):
    return 1 + (bins - 3) * jnp.clip(image, 0, 1)[..., None] - centres

  far = jnp.abs(distances(moving))
  cubic = (jnp.maximum(2 - far, 0) ** 3 - 4 * jnp.maximum(1 - far, 0) ** 3) / 6
  nearest = (jnp.floor(distances(fixed) + 0.5) == 0).astype(jnp.float32)
  joint = jnp.einsum('bnm,bnf->bmf', cubic, weight[..., None] * nearest)
  product = joint.sum(2, keepdims=True) * joint.sum(1, keepdims=True)
  # An empty bin has no logarithm; its term, and its derivative, are finite so.
  ratio = jnp.maximum(joint, 1e-10) / jnp.maximum(product, 1e-10)
  return (joint * jnp.log(ratio)).sum((1, 2))


MEASURES = {'ncc': correlation, 'mutual_information': mutual_information}
"""Similarity by name, greater where two images agree."""


def agreement(affine: jax.Array, problem: Problem, similarity: str) -> jax.Array:
  """How similar the moving image, taken along a 4x4 `affine`, is to the fixed one."""
  to_voxel = problem.after @ affine @ problem.before
  points = grid(problem.fixed.shape).reshape(-1, 3) @ to_voxel[:3, :3].T
  points = points + to_voxel[None, :3, 3]
  warped = sample(problem.moving[None, ..., None], points[None], padding='zeros')
  fixed, weight = problem.fixed.reshape(1, -1), problem.weight.reshape(1, -1)
  return MEASURES[similarity](warped[..., 0], fixed, weight)[0]


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
) -> Found:
  """Finds the affines, fixed mm to moving mm, of greatest similarity.

  The parameters are those of `ops.affine_matrix.matrix` about the centres. They begin
  where centre and extent of the images' parts that are not 0 agree, and climb by L-BFGS
  (Liu and Nocedal 1989), first on grids that are halved by means of 2x2x2 voxels. The
  images are 0 outside of the brain, so that its outline counts. A subject of 10^5 fixed
  voxels takes about 0.1 GB.

  Args:
    moving: Volumes of any range, [B, X, Y, Z].
    moving_affine: Voxel to mm, [B, 4, 4].
    fixed: As moving, on a grid of its own, [B, X', Y', Z'].
    fixed_affine: [B, 4, 4].
    similarity: 'ncc' or 'mutual_information'.
    degrees: 6, 9 or 12 free parameters.
    weight: Of the fixed voxels, [B, X', Y', Z'].
    levels: Resolutions, the last that of the arrays; their sizes are to be multiples of
      2^(levels - 1).
    steps: Of L-BFGS at each resolution, at most.
  """
  if degrees not in DEGREES:
    raise ValueError(f'affine has degrees={degrees}; allowed are {DEGREES}')
  odd = [n for n in (*moving.shape[1:], *fixed.shape[1:]) if n % 2 ** (levels - 1)]
  if odd:
    raise ValueError(
      f'affine with levels={levels} has grids with sizes {odd}; allowed are multiples '
      f'of {2 ** (levels - 1)}'
    )

  def one(moving, moving_affine, fixed, fixed_affine, weight):
    to_centre, moving_extent = _centre_and_extent(moving, moving_affine)
    from_centre, fixed_extent = _centre_and_extent(fixed, fixed_affine)
    start = jnp.zeros(12)
    if degrees > 6:
      start = start.at[6:9].set(jnp.log(moving_extent / fixed_extent))
    before = jnp.linalg.inv(from_centre) @ fixed_affine
    after = jnp.linalg.inv(moving_affine) @ to_centre
    pyramid = [Problem(_unit(moving), _unit(fixed), weight, before, after)]
    for _ in range(levels - 1):
      pyramid.append(_halved(pyramid[-1]))
    for problem in reversed(pyramid):
      start, reached = _climb(start, problem, similarity, degrees, steps)
    return Found(to_centre @ matrix(start) @ jnp.linalg.inv(from_centre), reached)

  return _each(one, similarity, weight, moving, moving_affine, fixed, fixed_affine)


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
  """The similarity, [B], at given affines [B, 4, 4]; the others as for `register`."""

  def one(affine, moving, moving_affine, fixed, fixed_affine, weight):
    after = jnp.linalg.inv(moving_affine)
    problem = Problem(_unit(moving), _unit(fixed), weight, fixed_affine, after)
    return agreement(affine, problem, similarity)

  return _each(
    one, similarity, weight, affine, moving, moving_affine, fixed, fixed_affine
  )


def _each(one, similarity, weight, *arrays):
  """`one` for each subject, with a weight of 1 where there is none."""
  if similarity not in MEASURES:
    raise ValueError(f"affine has similarity='{similarity}'; allowed are {[*MEASURES]}")
  weight = jnp.ones(arrays[-2].shape) if weight is None else weight
  # Accelerators would round the factors of these small products to 8 or 10 bits.
  with jax.default_matmul_precision('highest'):
    return jax.vmap(one)(*[jnp.asarray(x, jnp.float32) for x in (*arrays, weight)])


def _climb(start, problem, similarity, degrees, steps, least_gain=1e-6):
  """The parameters of greatest similarity, and it; 3 steps without gain are the end."""
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


def _centre_and_extent(image, affine):
  """The matrix that moves 0 to the centre of the non-zero part; its deviation in mm."""
  inside = (image != 0).reshape(1, -1).astype(jnp.float32)
  inside = inside / jnp.maximum(inside.sum(), 1)
  # About the middle of the grid, so that no digits are lost.
  middle = (jnp.array(image.shape) - 1) / 2
  voxels = grid(image.shape).reshape(-1, 3) - middle[None]
  mean = inside @ voxels
  away = (voxels - mean) @ affine[:3, :3].T
  centre = affine[:3, :3] @ (middle + mean[0]) + affine[:3, 3]
  extent = jnp.sqrt(jnp.maximum(inside @ away**2, 1))[0]
  return jnp.eye(4).at[:3, 3].set(centre), extent


def _unit(image):
  """The image with its 0.1 and 99.9 % quantiles at 0 and 1, cut there."""
  low, high = jnp.quantile(image, jnp.array([0.001, 0.999]))
  return jnp.clip((image - low) / jnp.maximum(high - low, 1e-12), 0, 1)


def _halved(problem):
  """The problem on grids of half the size, by means of 2x2x2 voxels."""

  def means(image):
    return image.reshape([m for n in image.shape for m in (n // 2, 2)]).mean((1, 3, 5))

  to_fine = jnp.diag(jnp.array([2.0, 2, 2, 1])).at[:3, 3].set(0.5)
  before, after = problem.before @ to_fine, jnp.linalg.inv(to_fine) @ problem.after
  return Problem(*map(means, problem[:3]), before, after)


def _flat(a, b, weight):
  """[B, N] of two images and of their weight, whose sum becomes 1."""
  weight = jnp.ones_like(a) if weight is None else weight
  a, b, weight = (x.reshape(len(x), -1) for x in (a, b, weight))
  return a, b, weight / jnp.maximum(weight.sum(-1, keepdims=True), 1e-6)
