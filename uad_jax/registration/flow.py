"""Fields: the exponential map of a stationary velocity, its algebra, its measures."""

import functools

import jax
import jax.numpy as jnp

from uad_jax.registration.warp import warp


def integrate(velocity: jax.Array, steps: int = 7) -> jax.Array:
  """The displacement of exp(v), by scaling and squaring (Arsigny et al. 2006).

  u_0 = v / 2^steps, then `steps` times u <- u + u o (id + u). The field is continued
  by its border values.
  """

  # The derivative needs only the displacement of each step, not what warp computed.
  @functools.partial(jax.checkpoint, prevent_cse=False)
  def square(displacement, _):
    return compose(displacement, displacement), None

  return jax.lax.scan(square, velocity / 2**steps, length=steps)[0]


def inverse(velocity: jax.Array, steps: int = 7) -> jax.Array:
  """The displacement of exp(v)^-1 = exp(-v)."""
  return integrate(-velocity, steps)


def compose(first: jax.Array, second: jax.Array) -> jax.Array:
  """The displacement u with warp(x, u) = warp(warp(x, first), second).

  u(p) = second(p) + first(p + second(p)).
  """
  return second + warp(first, second)


def invert(displacement: jax.Array, iterations: int = 20) -> jax.Array:
  """The displacement w of the inverse map, by the fixed point w = -u(p + w).

  Chen et al. 2008. It converges where u is a contraction (|grad u| < 1); for the
  exponential of a velocity use `inverse`, which needs no such condition.
  """

  def improve(w, _):
    return -warp(displacement, w), None

  return jax.lax.scan(improve, -displacement, length=iterations)[0]


def gradient(field: jax.Array) -> jax.Array:
  """The derivatives d field_i / d p_j, [B, *S, C, d]; one-sided at borders."""
  axes = range(1, field.ndim - 1)
  return jnp.stack([jnp.gradient(field, axis=axis) for axis in axes], -1)


def jacobian_determinant(displacement: jax.Array) -> jax.Array:
  """The determinant of I + grad u, [B, *S]; 0 or less where the map folds."""
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


def folding_fraction(displacement: jax.Array, mask: jax.Array) -> jax.Array:
  """The share of the masked voxels where det(I + grad u) <= 0, [B]; mask [B, *S, 1]."""
  folded = (jacobian_determinant(displacement)[..., None] <= 0) * mask
  axes = tuple(range(1, mask.ndim))
  return folded.sum(axes) / jnp.maximum(mask.sum(axes), 1)


def strain(displacement: jax.Array) -> jax.Array:
  """The Frobenius norm of grad u, [B, *S]; zero for any translation."""
  square = (gradient(displacement) ** 2).sum((-2, -1))
  # The inner `where` keeps the derivative of the root finite where there is no strain.
  positive = square > 0
  return jnp.where(positive, jnp.sqrt(jnp.where(positive, square, 1)), 0)


def resize(field: jax.Array, shape: tuple[int, ...]) -> jax.Array:
  """The field on another grid over the same region, in voxels of the new grid.

  Args:
    field: [B, *S, d], voxels of its own grid.
    shape: The new *S.
  """
  old = field.shape[1:-1]
  if len(shape) != len(old):
    raise ValueError(f'resize: the field is on a grid {old}, not resizable to {shape}')
  scale = jnp.asarray([new / n for new, n in zip(shape, old, strict=True)], field.dtype)
  size = (field.shape[0], *shape, field.shape[-1])
  return jax.image.resize(field, size, 'linear') * scale.reshape(
    (1,) * (field.ndim - 1) + (-1,)
  )
