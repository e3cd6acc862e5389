"""Random shapes of lesions, and gates that know them only roughly.

Pure functions of a key or of what was drawn from it, 2-D and 3-D by the shape of the
mask [*S].
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from uad_jax.ops.filters import dilate
from uad_jax.registration.warp import grid

Array = jax.Array
Key = jax.Array


def smooth(coarse: Array, shape: Sequence[int]) -> Array:
  """Values on a coarse grid, cubic in between; [*S]."""
  return jax.image.resize(coarse, tuple(shape), 'cubic')


def draw(key: Key, size: int, numbers: int, noise: int) -> tuple[Array, Array]:
  """Uniform numbers in (0, 1) [size, numbers] and normal ones [size, noise].

  All of one call, since each call costs a third of a second of compilation.
  """
  drawn = jax.random.uniform(key, (size, numbers + noise), minval=1e-7)
  normal = jnp.sqrt(2.0) * jax.lax.erf_inv(2 * drawn[:, numbers:] - 1)
  return drawn[:, :numbers], normal


def place(drawn: Array, mask: Array) -> Array:
  """The voxel of `mask` [*S] at the quantile `drawn` in [0, 1); coordinates [d]."""
  below = jnp.cumsum(mask.reshape(-1) > 0.5).astype(jnp.float32)
  index = jnp.searchsorted(below, drawn * below[-1], side='right')
  index = jnp.minimum(index, below.size - 1)
  return jnp.stack(jnp.unravel_index(index, mask.shape)).astype(jnp.float32)


def draws_of_blob(d: int) -> tuple[int, int]:
  """How many uniform and normal numbers a blob of d dimensions takes."""
  return 4 + d * d, 8**d + 16**d


def blob(
  drawn: Array, noise: Array, mask: Array, radius: tuple[float, float] = (0.02, 0.14)
) -> Array:
  """A soft-edged irregular ellipsoid with its centre in the mask, in [0, 1]; [*S].

  The level set 1 - |A (p - c)| of a random ellipsoid is roughened by smooth noise at
  two scales; `radius` is drawn log-uniformly, as a fraction of the longest axis.

  Args:
    drawn: Uniform numbers, as many as `draws_of_blob` says.
    noise: Normal numbers, likewise.
    mask: [*S].
    radius: Smallest and largest.
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
  """The union of one to `most` blobs in a share of the masks; [B, *S].

  Args:
    key: Used once.
    mask: [B, *S].
    share: Of the masks; the others stay empty.
    most: Largest number.
  """
  size, d = len(mask), mask.ndim - 1
  numbers, noise = draws_of_blob(d)
  drawn, normal = draw(key, size, 2 + most * numbers, most * noise)
  count = (1 + jnp.floor(drawn[:, 0] * most)) * (drawn[:, 1] < share)
  several = jax.vmap(jax.vmap(blob, (0, 0, None)))
  each = several(
    drawn[:, 2:].reshape(size, most, numbers), normal.reshape(size, most, noise), mask
  )
  there = (jnp.arange(most)[None] < count[:, None]).reshape(size, most, *[1] * d)
  return (each * there).max(1)


def rough_gate(key: Key, painted: Array, mask: Array) -> Array:
  """What an imperfect gate might say of the painted shapes, for training.

  It is tighter or wider than the shape, misses one in ten, and opens in one image of
  seven where nothing is.

  Args:
    key: Used once.
    painted: Soft shapes [B, *S, 1].
    mask: Brain [B, *S, 1].
  """
  numbers, noise = draws_of_blob(mask.ndim - 2)
  drawn, normal = draw(key, len(mask), 4 + numbers, noise)
  level, wide, miss, false = drawn[:, :4].T.reshape(4, -1, *[1] * (mask.ndim - 1))
  g = jnp.clip((painted - 0.7 * level) / 0.3, 0, 1)
  g = jnp.where(wide < 0.5, dilate(g, 1), g)
  g = jnp.where(miss < 0.1, 0.0, g)
  other = jax.vmap(blob)(drawn[:, 4:], normal, mask[..., 0])
  return jnp.maximum(g, jnp.where(false < 1 / 7, other[..., None], 0.0))


def boxes(key: Key, mask: Array, most: int = 3, edge: float = 20 / 128) -> Array:
  """The union of one to `most` boxes inside each mask's bounding box; [B, *S], 0 or 1.

  Args:
    key: Used once.
    mask: [B, *S].
    most: Largest number, drawn for each example.
    edge: Of a box, as a fraction of each axis.
  """
  d = mask.ndim - 1
  key_count, key_corner = jax.random.split(key)
  counts = jax.random.randint(key_count, (len(mask),), 1, most + 1)
  corners = jax.random.uniform(key_corner, (len(mask), most, d))

  def one(count, corners, mask):
    union = (jnp.arange(most) < count).reshape(most, *[1] * d)
    for axis, n in enumerate(mask.shape):
      long = max(1, round(edge * n))
      there = mask.max([other for other in range(d) if other != axis]) > 0.5
      low, high = jnp.argmax(there), n - jnp.argmax(there[::-1])
      room = jnp.maximum(high - low - long + 1, 1)
      start = (low + jnp.floor(corners[:, axis] * room))[:, None]
      along = jnp.arange(n)[None]
      within = (along >= start) & (along < start + long) & (along < high)
      union = union & within.reshape(most, *[n if a == axis else 1 for a in range(d)])
    return union.any(0)

  return jax.vmap(one)(counts, corners, mask).astype(jnp.float32)
