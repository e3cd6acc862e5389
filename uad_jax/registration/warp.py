"""The spatial transformer: an image sampled at displaced voxels."""

import itertools

import jax
import jax.numpy as jnp

ORDERS = ('linear', 'nearest')
PADDINGS = ('border', 'zeros')


def grid(shape: tuple[int, ...]) -> jax.Array:
  """The voxel coordinates of a grid, [*S, d] float32."""
  axes = [jnp.arange(n, dtype=jnp.float32) for n in shape]
  return jnp.stack(jnp.meshgrid(*axes, indexing='ij'), -1)


def warp(
  image: jax.Array,
  displacement: jax.Array,
  order: str = 'linear',
  padding: str = 'border',
) -> jax.Array:
  """x'(p) = x(p + u(p)) (Jaderberg et al. 2015, with voxel displacements).

  Args:
    image: [B, *S, C].
    displacement: [B, *S, d], voxels.
    order: 'linear' interpolates in all d axes; 'nearest' is for labels.
    padding: 'border' repeats the outermost voxels, 'zeros' puts zero voxels around.
  """
  spatial = image.shape[1:-1]
  if displacement.shape != (image.shape[0], *spatial, len(spatial)):
    raise ValueError(
      f'warp: an image of shape {image.shape} needs a displacement of shape '
      f'{(image.shape[0], *spatial, len(spatial))}, not {displacement.shape}'
    )
  if order not in ORDERS or padding not in PADDINGS:
    raise ValueError(
      f'warp: order {order!r} must be of {ORDERS}, padding {padding!r} of {PADDINGS}'
    )
  points = grid(spatial)[None] + displacement
  upper = (
    jnp.asarray(spatial, points.dtype).reshape((1,) * (points.ndim - 1) + (-1,)) - 1
  )
  if padding == 'border':
    points = jnp.clip(points, 0, upper)
  if order == 'nearest':
    return _fetch(image, jnp.floor(points + 0.5).astype(jnp.int32))
  lower = jnp.floor(points)
  fraction = points - lower
  lower = lower.astype(jnp.int32)
  total = jnp.zeros_like(image)
  for corner in itertools.product((0, 1), repeat=len(spatial)):
    weight = 1.0
    for axis, bit in enumerate(corner):
      part = fraction[..., axis, None]
      weight = weight * (part if bit else 1 - part)
    total = total + weight * _fetch(
      image, lower + jnp.asarray(corner).reshape((1,) * (points.ndim - 1) + (-1,))
    )
  return total


def _fetch(image: jax.Array, index: jax.Array) -> jax.Array:
  """image[b, index[b, p]], zero where the index lies outside the grid."""
  spatial = image.shape[1:-1]
  size = jnp.asarray(spatial).reshape((1,) * (index.ndim - 1) + (-1,))
  inside = ((index >= 0) & (index < size)).all(-1, keepdims=True)
  index = jnp.clip(index, 0, size - 1)
  values = jax.vmap(lambda x, i: x[tuple(jnp.moveaxis(i, -1, 0))])(image, index)
  return jnp.where(inside, values, 0)
