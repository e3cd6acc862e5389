"""Functions that sample lesion shapes, inaccurate lesion masks (gates) and box masks.

Pure functions of a random key or of random numbers, 2-D or 3-D by the shape of the
brain mask [*S].
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from uad_jax.ops.filters import dilate
from uad_jax.registration.warp import grid

Array = jax.Array
Key = jax.Array


def smooth(coarse: Array, shape: Sequence[int]) -> Array:
  """Upsamples values from a coarse grid to the grid `shape` by cubic interpolation."""
  return jax.image.resize(coarse, tuple(shape), 'cubic')


def draw(key: Key, size: int, numbers: int, noise: int) -> tuple[Array, Array]:
  """Samples uniform and standard normal random numbers for each example of a batch.

  Both come from one random call, since each call costs a third of a second of
  compilation.

  Args:
    key: Random key.
    size: Number of examples.
    numbers: Count of uniform numbers per example.
    noise: Count of normal numbers per example.

  Returns:
    Uniform numbers in (0, 1), [size, numbers], and standard normal ones, [size, noise].
  """
  drawn = jax.random.uniform(key, (size, numbers + noise), minval=1e-7)
  normal = jnp.sqrt(2.0) * jax.lax.erf_inv(2 * drawn[:, numbers:] - 1)
  return drawn[:, :numbers], normal


def place(drawn: Array, mask: Array) -> Array:
  """Returns the voxel of a mask that a given uniform random number selects.

  Args:
    drawn: Uniform random number in [0, 1): the share of the mask's voxels that come
      before the picked voxel in the order of memory.
    mask: [*S], 0 or 1.

  Returns:
    Coordinates of the voxel, [d] float32.
  """
  below = jnp.cumsum(mask.reshape(-1) > 0.5).astype(jnp.float32)
  index = jnp.searchsorted(below, drawn * below[-1], side='right')
  index = jnp.minimum(index, below.size - 1)
  return jnp.stack(jnp.unravel_index(index, mask.shape)).astype(jnp.float32)


def draws_of_blob(d: int) -> tuple[int, int]:
  """Returns the counts of uniform and of normal random numbers that `blob` needs."""
  return 4 + d * d, 8**d + 16**d


def blob(
  drawn: Array, noise: Array, mask: Array, radius: tuple[float, float] = (0.02, 0.14)
) -> Array:
  """Computes a random lesion shape: an irregular, soft-edged ellipsoid in the brain.

  The level set 1 - |A (p - c)| of a random ellipsoid is roughened by smooth noise at
  two scales; its centre lies in the mask.

  Args:
    drawn: Uniform random numbers; `draws_of_blob` gives their count.
    noise: Normal random numbers; `draws_of_blob` gives their count.
    mask: Brain mask [*S].
    radius: Smallest and largest radius as fractions of the longest axis; the radius is
      log-uniform between them.

  Returns:
    [*S] in [0, 1], 0 outside of the mask.
  """
  shape, d = mask.shape, mask.ndim
  low, high = (jnp.log(r * max(shape)) for r in radius)
  size = jnp.exp(low + drawn[0] * (high - low))
  ellipsoid = (jnp.eye(d) + drawn[4:].reshape(d, d) - 0.5) / size
  offset = grid(shape) - place(drawn[1], mask).reshape((1,) * d + (d,))
  distance = jnp.sqrt(((offset @ ellipsoid) ** 2).sum(-1) + 1e-6)
  fine, coarse = noise[8**d :].reshape((16,) * d), noise[: 8**d].reshape((8,) * d)
  roughness = 0.45 * drawn[2] * (smooth(coarse, shape) + 0.6 * smooth(fine, shape))
  level = (1.0 - distance + roughness) * size  # about voxels inside the edge
  edge = 0.35 + 0.85 * drawn[3]
  return jax.nn.sigmoid(level / edge) * (distance < 2.5) * mask


def blobs(key: Key, mask: Array, share: float = 1.0, most: int = 4) -> Array:
  """Samples a lesion shape for each example: the union of one to `most` random blobs.

  Args:
    key: Random key.
    mask: Brain masks [B, *S].
    share: Probability that an example gets blobs; the others stay empty.
    most: Largest number of blobs.

  Returns:
    [B, *S] in [0, 1].
  """
  size, d = len(mask), mask.ndim - 1
  numbers, noise = draws_of_blob(d)
  drawn, normal = draw(key, size, 2 + most * numbers, most * noise)
  count = (1 + jnp.floor(drawn[:, 0] * most)) * (drawn[:, 1] < share)
  blobs_of_batch = jax.vmap(jax.vmap(blob, (0, 0, None)))
  shapes = blobs_of_batch(
    drawn[:, 2:].reshape(size, most, numbers), normal.reshape(size, most, noise), mask
  )
  exists = (jnp.arange(most)[None] < count[:, None]).reshape(size, most, *[1] * d)
  return (shapes * exists).max(1)


def rough_gate(key: Key, painted: Array, mask: Array) -> Array:
  """Simulates an imperfect detection (gate) of synthetic lesions, for training.

  The gate is tighter or wider than the lesion, stays closed (0) in one image of ten,
  and opens (is above 0) at a random blob in one image of seven.

  Args:
    key: Random key.
    painted: Soft shapes of the synthetic (painted) lesions [B, *S, 1].
    mask: Brain mask [B, *S, 1].

  Returns:
    Gates [B, *S, 1] in [0, 1].
  """
  numbers, noise = draws_of_blob(mask.ndim - 2)
  drawn, normal = draw(key, len(mask), 4 + numbers, noise)
  level, widen, miss, extra = drawn[:, :4].T.reshape(4, -1, *[1] * (mask.ndim - 1))
  g = jnp.clip((painted - 0.7 * level) / 0.3, 0, 1)
  g = jnp.where(widen < 0.5, dilate(g, 1), g)
  g = jnp.where(miss < 0.1, 0.0, g)
  elsewhere = jax.vmap(blob)(drawn[:, 4:], normal, mask[..., 0])
  return jnp.maximum(g, jnp.where(extra < 1 / 7, elsewhere[..., None], 0.0))


def boxes(key: Key, mask: Array, most: int = 3, edge: float = 20 / 128) -> Array:
  """Samples a mask of one to `most` random boxes for each example of a batch.

  The boxes lie inside of the bounding box of the brain mask and may overlap.

  Args:
    key: Random key.
    mask: Brain masks [B, *S].
    most: Largest number of boxes; the number is drawn for each example.
    edge: Edge length of a box, as a fraction of the grid along each axis.

  Returns:
    [B, *S], 0 or 1.
  """
  d = mask.ndim - 1
  key_count, key_corner = jax.random.split(key)
  counts = jax.random.randint(key_count, (len(mask),), 1, most + 1)
  corners = jax.random.uniform(key_corner, (len(mask), most, d))

  def boxes_of_example(count, corners, mask):
    union = (jnp.arange(most) < count).reshape(most, *[1] * d)
    for axis, n in enumerate(mask.shape):
      long = max(1, round(edge * n))
      occupied = mask.max([other for other in range(d) if other != axis]) > 0.5
      low, high = jnp.argmax(occupied), n - jnp.argmax(occupied[::-1])
      room = jnp.maximum(high - low - long + 1, 1)
      start = (low + jnp.floor(corners[:, axis] * room))[:, None]
      along = jnp.arange(n)[None]
      within = (along >= start) & (along < start + long) & (along < high)
      union = union & within.reshape(most, *[n if a == axis else 1 for a in range(d)])
    return union.any(0)

  return jax.vmap(boxes_of_example)(counts, corners, mask).astype(jnp.float32)
