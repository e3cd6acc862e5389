"""The spatial transformer: an image sampled at displaced voxels."""

import itertools
import math

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
  if padding == 'zeros':
    # A frame of zeros; beyond it the border of the framed image is zero as well.
    image = jnp.pad(image, [(0, 0), *[(1, 1)] * len(spatial), (0, 0)])
    points = points + 1
  upper = [n - 1 for n in image.shape[1:-1]]
  points = jnp.stack(
    [jnp.clip(points[..., axis], 0, n) for axis, n in enumerate(upper)], -1
  )
  return (_nearest if order == 'nearest' else _linear)(image, points)


def _nearest(image: jax.Array, points: jax.Array) -> jax.Array:
  """The image at the voxels nearest to points inside of its grid."""
  batch, *spatial, channels = image.shape
  index = _flatten(jnp.floor(points + 0.5).astype(jnp.int32), spatial)
  values = jax.vmap(lambda x, i: x[i])(
    image.reshape(batch, -1, channels), index.reshape(batch, -1)
  )
  return values.reshape(*points.shape[:-1], channels)


def _linear(image: jax.Array, points: jax.Array) -> jax.Array:
  """The image between the corners around points inside of its grid.

  Corners which are neighbours in memory are fetched together: that halves the number of
  gathers, and of scatters in the derivative, which take most of the time.
  """
  batch, *spatial, channels = image.shape
  if spatial[-1] == 1:  # no pair to fetch
    image = jnp.repeat(image, 2, -2)
    spatial = image.shape[1:-1]
  lower = jnp.stack(
    [
      jnp.clip(jnp.floor(points[..., axis]), 0, max(n - 2, 0))
      for axis, n in enumerate(spatial)
    ],
    -1,
  )
  fraction = points - jax.lax.stop_gradient(lower)
  start = _flatten(lower.astype(jnp.int32), spatial).reshape(batch, -1)
  flat = image.reshape(batch, -1)

  def pairs(x, start):
    size = (2 * channels,)
    return jax.vmap(lambda i: jax.lax.dynamic_slice(x, (i * channels,), size))(start)

  total = 0.0
  last = fraction[..., -1, None]
  for corner in itertools.product((0, 1), repeat=len(spatial) - 1):
    weight, offset = 1.0, 0
    for axis, bit in enumerate(corner):
      part = fraction[..., axis, None]
      weight = weight * (part if bit else 1 - part)
      if bit and spatial[axis] > 1:
        offset += math.prod(spatial[axis + 1 :])
    value = jax.vmap(pairs)(flat, start + offset)
    value = value.reshape(*points.shape[:-1], 2, channels)
    between = (1 - last) * value[..., 0, :] + last * value[..., 1, :]
    total = total + weight * between
  return total


def _flatten(index: jax.Array, spatial: tuple[int, ...]) -> jax.Array:
  """The position of voxel indices [..., d] in the flattened grid."""
  steps = [math.prod(spatial[axis + 1 :]) for axis in range(len(spatial))]
  return sum(index[..., axis] * step for axis, step in enumerate(steps))
