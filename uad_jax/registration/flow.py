"""Functions that integrate, compose, differentiate and resize deformation fields.

The displacement and velocity fields are [B, *S, d] in voxels of their grid.
"""

import functools

import jax
import jax.numpy as jnp

from uad_jax.registration.warp import warp


def integrate(velocity: jax.Array, steps: int = 7) -> jax.Array:
  """Integrates a stationary velocity field over unit time to a displacement field.

  The displacement is that of the map exp(v), by scaling and squaring (Arsigny et al.
  2006): u_0 = v / 2^steps, then `steps` times u <- u + u o (id + u). Outside of the
  grid the border values repeat.

  Args:
    velocity: v [B, *S, d].
    steps: Number of squarings.

  Returns:
    [B, *S, d].

  Examples:
    >>> integrate(jnp.full((1, 3, 3, 2), 0.5))[0, 0, 0].tolist()
    [0.5, 0.5]
  """

  # The derivative needs only the displacement of each step, not what warp computed.
  @functools.partial(jax.checkpoint, prevent_cse=False)
  def square(displacement, _):
    return compose(displacement, displacement), None

  return jax.lax.scan(square, velocity / 2**steps, length=steps)[0]


def inverse(velocity: jax.Array, steps: int = 7) -> jax.Array:
  """Computes the inverse of the displacement field that `integrate` returns.

  It is the displacement field of the map exp(-v), for the velocity field v.

  Args:
    velocity: v [B, *S, d].
    steps: Number of squarings.

  Examples:
    >>> inverse(jnp.full((1, 3, 3, 2), 0.5))[0, 0, 0].tolist()
    [-0.5, -0.5]
  """
  return integrate(-velocity, steps)


def invert(displacement: jax.Array, steps: int = 12) -> jax.Array:
  """Inverts a displacement field by fixed-point iteration.

  The inverse w of u has w(q) = -u(q + w(q)) (Chen et al. 2008); the iteration converges
  where u changes by less than a voxel from voxel to voxel.

  Args:
    displacement: u [B, *S, d] in voxels.
    steps: Number of iterations.

  Returns:
    w [B, *S, d] in voxels, such that `warp(warp(x, u), w)` is about x.

  Examples:
    >>> invert(jnp.full((1, 3, 3, 2), 0.5))[0, 0, 0].tolist()
    [-0.5, -0.5]
  """

  def improve(_, inverse):
    return -warp(displacement, inverse)

  return jax.lax.fori_loop(0, steps, improve, -displacement)


def compose(first: jax.Array, second: jax.Array) -> jax.Array:
  """Combines two displacement fields into one that warps by `first`, then `second`.

  The result is u(p) = second(p) + first(p + second(p)), so that warp(x, u) is about
  warp(warp(x, first), second).

  Args:
    first: Displacement field [B, *S, d].
    second: As first.

  Returns:
    u [B, *S, d].

  Examples:
    >>> first, second = jnp.full((1, 3, 3, 2), 1.0), jnp.full((1, 3, 3, 2), 0.5)
    >>> compose(first, second)[0, 0, 0].tolist()
    [1.5, 1.5]
  """
  return second + warp(first, second)


def gradient(field: jax.Array) -> jax.Array:
  """Computes the spatial derivatives of a field by finite differences.

  d field_i / d p_j, central inside of the grid and one-sided at its borders.

  Args:
    field: [B, *S, C].

  Returns:
    [B, *S, C, d] per voxel.
  """
  axes = range(1, field.ndim - 1)
  return jnp.stack([jnp.gradient(field, axis=axis) for axis in axes], -1)


def jacobian_determinant(displacement: jax.Array) -> jax.Array:
  """Computes at each voxel the Jacobian determinant of a deformation.

  The deformation has the displacement field u; the determinant is det(I + grad u).

  Args:
    displacement: u [B, *S, d], d 2 or 3.

  Returns:
    [B, *S]: 1 where volumes are kept, 0 or less where the map folds.

  Examples:
    >>> from uad_jax.registration.warp import grid
    >>> jacobian_determinant(0.5 * grid((2, 2))[None]).tolist()  # 1.5 along each axis
    [[[2.25, 2.25], [2.25, 2.25]]]
  """
  d = displacement.shape[-1]
  grad = gradient(displacement)
  jacobian = grad + jnp.eye(d, dtype=grad.dtype).reshape((1,) * (d + 1) + (d, d))
  if d == 2:
    return (
      jacobian[..., 0, 0] * jacobian[..., 1, 1]
      - jacobian[..., 0, 1] * jacobian[..., 1, 0]
    )
  cross = jnp.cross(jacobian[..., 1, :], jacobian[..., 2, :])
  return (jacobian[..., 0, :] * cross).sum(-1)


def folded_share(displacement: jax.Array) -> jax.Array:
  """Computes the share of voxels at which a deformation folds, [B].

  It folds where the Jacobian determinant is 0 or less.

  Args:
    displacement: u [B, *S, d], d 2 or 3.
  """
  folds = jacobian_determinant(displacement) <= 0
  return folds.mean(tuple(range(1, folds.ndim)))


def largest(displacement: jax.Array) -> jax.Array:
  """Returns the largest absolute component of each field [B, *S, d], in voxels; [B]."""
  return jnp.abs(displacement).max(tuple(range(1, displacement.ndim)))


def strain(displacement: jax.Array) -> jax.Array:
  """Computes at each voxel how strongly a displacement field deforms the image.

  This strain is the Frobenius norm of the gradient of the displacement u.

  Args:
    displacement: u [B, *S, d].

  Returns:
    [B, *S], 0 for a translation.

  Examples:
    >>> strain(jnp.full((1, 2, 2, 2), 3.0)).tolist()
    [[[0.0, 0.0], [0.0, 0.0]]]
  """
  square = (gradient(displacement) ** 2).sum((-2, -1))
  # The inner `where` keeps the derivative of the root finite where there is no strain.
  positive = square > 0
  return jnp.where(positive, jnp.sqrt(jnp.where(positive, square, 1)), 0)


def exponential(
  velocity: jax.Array, shape: tuple[int, ...], steps: int = 7
) -> jax.Array:
  """Integrates a velocity field on its grid to a displacement field on another grid.

  Args:
    velocity: v [B, *V, d] in voxels of its grid.
    shape: Sizes *S of the grid of the displacement field, over the same region.
    steps: Number of squarings, see `integrate`.

  Returns:
    [B, *S, d] in voxels of the new grid.
  """
  return resize(integrate(velocity, steps), shape)


def resize(field: jax.Array, shape: tuple[int, ...]) -> jax.Array:
  """Resizes a displacement or velocity field to another grid over the same region.

  The values are scaled to voxels of the new grid.

  Args:
    field: [B, *S, d] in voxels of its grid.
    shape: Sizes of the new grid, d of them.

  Returns:
    [B, *shape, d] in voxels of the new grid.

  Raises:
    ValueError: The new grid has another number of axes.

  Examples:
    >>> resize(jnp.ones((1, 2, 2, 2)), (4, 2))[0, 0, 0].tolist()
    [2.0, 1.0]
  """
  old = field.shape[1:-1]
  if len(shape) != len(old):
    raise ValueError(f'resize: the field is on a grid {old}, not resizable to {shape}')
  scale = jnp.asarray([new / n for new, n in zip(shape, old, strict=True)], field.dtype)
  size = (field.shape[0], *shape, field.shape[-1])
  return jax.image.resize(field, size, 'linear') * scale.reshape(
    (1,) * (field.ndim - 1) + (-1,)
  )
