"""Functions that resample images at displaced voxels (spatial transformer)."""

import itertools
import math

import jax
import jax.numpy as jnp

ORDERS = ('linear', 'nearest')
"""Allowed interpolations."""

PADDINGS = ('border', 'zeros')
"""Allowed continuations of an image outside of its grid."""


def grid(shape: tuple[int, ...]) -> jax.Array:
  """Returns the voxel coordinates of all points of a grid.

  For d axes of sizes *S they are a float32 array [*S, d].

  Examples:
    >>> grid((2, 2)).tolist()
    [[[0.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [1.0, 1.0]]]
  """
  axes = [jnp.arange(n, dtype=jnp.float32) for n in shape]
  return jnp.stack(jnp.meshgrid(*axes, indexing='ij'), -1)


def warp(
  image: jax.Array,
  displacement: jax.Array,
  order: str = 'linear',
  padding: str = 'border',
) -> jax.Array:
  """Warps images by a displacement field.

  Voxel p of the result is the image at p + u(p), for the displacement u. Jaderberg et
  al. 2015 ("Spatial transformer networks").

  Args:
    image: x [B, *S, C].
    displacement: u [B, *S, d] in voxels.
    order: 'linear' interpolates along all d axes; 'nearest' is for labels.
    padding: 'border' repeats the outermost voxels, 'zeros' puts zero voxels around.

  Returns:
    [B, *S, C].

  Raises:
    ValueError: The field's shape does not fit the image, or `order` or `padding` is not
      allowed.

  Examples:
    >>> image = jnp.array([[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]).reshape(1, 2, 3, 1)
    >>> half = jnp.zeros((1, 2, 3, 2)).at[..., 1].set(0.5)
    >>> warp(image, half)[0, ..., 0].tolist()
    [[0.5, 1.5, 2.0], [3.5, 4.5, 5.0]]
  """
  spatial = image.shape[1:-1]
  if displacement.shape != (image.shape[0], *spatial, len(spatial)):
    raise ValueError(
      f'warp: an image of shape {image.shape} needs a displacement of shape '
      f'{(image.shape[0], *spatial, len(spatial))}, not {displacement.shape}'
    )
  return sample(image, grid(spatial)[None] + displacement, order, padding)


def warped(
  mean: jax.Array, spread: jax.Array, displacement: jax.Array
) -> list[jax.Array]:
  """Warps a mean and its variance, or the variance's logarithm, by one field.

  Args:
    mean: [B, *S, C].
    spread: As mean.
    displacement: u [B, *S, d] in voxels.

  Returns:
    Both at the displaced voxels, each [B, *S, C].

  Examples:
    >>> mean, u = jnp.arange(3.0).reshape(1, 3, 1, 1), jnp.ones((1, 3, 1, 2))
    >>> [image.ravel().tolist() for image in warped(mean, 10 * mean, u)]
    [[1.0, 2.0, 2.0], [10.0, 20.0, 20.0]]
  """
  return jnp.split(warp(jnp.concatenate([mean, spread], -1), displacement), 2, -1)


def sample(
  image: jax.Array,
  points: jax.Array,
  order: str = 'linear',
  padding: str = 'border',
) -> jax.Array:
  """Interpolates images at points between the voxels.

  Args:
    image: [B, *S, C].
    points: Coordinates [B, *T, d] in voxels of the image's grid.
    order: 'linear' or 'nearest', as for `warp`.
    padding: 'border' or 'zeros', as for `warp`.

  Returns:
    [B, *T, C].

  Raises:
    ValueError: `order` or `padding` is not allowed.

  Examples:
    >>> image = jnp.array([[0.0, 1.0], [2.0, 3.0]]).reshape(1, 2, 2, 1)
    >>> sample(image, jnp.array([[[0.5, 0.5], [5.0, 1.0]]])).ravel().tolist()
    [1.5, 3.0]
    >>> sample(image, jnp.array([[[5.0, 1.0]]]), padding='zeros').ravel().tolist()
    [0.0]
  """
  spatial = image.shape[1:-1]
  if order not in ORDERS or padding not in PADDINGS:
    raise ValueError(
      f'warp: order {order!r} must be of {ORDERS}, padding {padding!r} of {PADDINGS}'
    )
  if padding == 'zeros':
    # A frame of zeros; beyond it the border of the framed image is zero as well.
    image = jnp.pad(image, [(0, 0), *[(1, 1)] * len(spatial), (0, 0)])
    points = points + 1
  points = _clip(points, [n - 1 for n in image.shape[1:-1]])
  if order == 'nearest':
    return _nearest(image, points)
  # A cell needs two voxels along each axis.
  thin = [(0, 0), *[(0, max(0, 2 - n)) for n in image.shape[1:-1]], (0, 0)]
  return _linear(jnp.pad(image, thin, 'edge'), points)


def _nearest(image: jax.Array, points: jax.Array) -> jax.Array:
  """Samples images at the voxels nearest to points inside of the grid."""
  batch, *spatial, channels = image.shape
  index = _flatten(jnp.floor(points + 0.5).astype(jnp.int32), spatial)
  values = jax.vmap(lambda x, i: x[i])(
    image.reshape(batch, -1, channels), index.reshape(batch, -1)
  )
  return values.reshape(*points.shape[:-1], channels)


@jax.custom_vjp
def _linear(image: jax.Array, points: jax.Array) -> jax.Array:
  """Samples images [B, *S, C] linearly at points [B, *T, d] inside of the grid."""
  channels = image.shape[-1]
  lower, start = _lower(image, points)
  fraction = points - lower
  last = fraction[..., -1, None]
  total = 0.0
  for corner, offset in _lines(image):
    weight = 1.0
    for axis, bit in enumerate(corner):
      part = fraction[..., axis, None]
      weight = weight * (part if bit else 1 - part)
    value = _fetch(image, start + offset).reshape(*points.shape[:-1], 2, channels)
    total = total + weight * ((1 - last) * value[..., 0, :] + last * value[..., 1, :])
  return total


def _linear_transpose(saved, g):
  """Derivatives of `_linear`, computed on arrays [B, N], one for each axis and channel.

  Two or three channels in the fastest axis would defeat vectorisation, and automatic
  differentiation of `_linear` saves every corner: this is 2 to 5 times as fast.
  """
  image, points = saved
  batch, channels = image.shape[0], image.shape[-1]
  lower, start = _lower(image, points)
  fraction = [f.reshape(batch, -1) for f in jnp.moveaxis(points - lower, -1, 0)]
  cotangent = [c.reshape(batch, -1) for c in jnp.moveaxis(g, -1, 0)]
  *others, last = fraction
  image_bar, points_bar = 0.0, [0.0] * len(fraction)
  for corner, offset in _lines(image):
    value = _fetch(image, start + offset)
    low = sum(value[..., c] * x for c, x in enumerate(cotangent))
    high = sum(value[..., channels + c] * x for c, x in enumerate(cotangent))
    between = (1 - last) * low + last * high
    factors = [f if bit else 1 - f for f, bit in zip(others, corner, strict=True)]
    weight = math.prod(factors, start=jnp.ones_like(last))
    for axis, bit in enumerate(corner):
      rest = math.prod(factors[:axis] + factors[axis + 1 :], start=1.0 if bit else -1.0)
      points_bar[axis] = points_bar[axis] + rest * between
    points_bar[-1] = points_bar[-1] + weight * (high - low)
    update = jnp.stack(
      [weight * (1 - last) * x for x in cotangent]
      + [weight * last * x for x in cotangent],
      -1,
    )
    scatter = jax.linear_transpose(lambda x, i=start + offset: _fetch(x, i), image)
    image_bar = image_bar + scatter(update)[0]
  return image_bar, jnp.stack(points_bar, -1).reshape(points.shape)


_linear.defvjp(lambda x, p: (_linear(x, p), (x, p)), _linear_transpose)


def _lower(image: jax.Array, points: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Lowest corner of each point's cell, and its index [B, N] in the flattened image."""
  lower = _clip(jnp.floor(points), [n - 2 for n in image.shape[1:-1]])
  start = _flatten(lower.astype(jnp.int32), image.shape[1:-1])
  return lower, start.reshape(len(image), -1)


def _lines(image: jax.Array):
  """Yields the corners of a cell without the last axis, and their flat offsets.

  The two corners along the last axis are neighbours in memory and are fetched together,
  which halves the number of gathers and of scatters.
  """
  spatial = image.shape[1:-1]
  for corner in itertools.product((0, 1), repeat=len(spatial) - 1):
    steps = [math.prod(spatial[i + 1 :]) for i, bit in enumerate(corner) if bit]
    yield corner, sum(steps)


def _fetch(image: jax.Array, start: jax.Array) -> jax.Array:
  """Fetches two neighbours of the flattened image from each index on, [B, N, 2 C]."""
  channels = image.shape[-1]

  def pair(x, i):
    return jax.lax.dynamic_slice(x, (i * channels,), (2 * channels,))

  pairs = jax.vmap(jax.vmap(pair, (None, 0)))
  return pairs(image.reshape(len(image), -1), start)


def _clip(points: jax.Array, upper: list[int]) -> jax.Array:
  """Clips each coordinate to between 0 and its upper limit."""
  return jnp.stack([jnp.clip(points[..., i], 0, n) for i, n in enumerate(upper)], -1)


def _flatten(index: jax.Array, spatial: tuple[int, ...]) -> jax.Array:
  """Flattens voxel indices [..., d] to indices of the flattened grid, [...]."""
  steps = [math.prod(spatial[axis + 1 :]) for axis in range(len(spatial))]
  return sum(index[..., axis] * step for axis, step in enumerate(steps))
