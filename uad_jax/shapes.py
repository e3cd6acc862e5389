"""Random shapes of lesions, and gates that know them only roughly.

Pure functions of a key, 2-D and 3-D by the shape of the mask [*S].
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from uad_jax.registration.gate import dilate
from uad_jax.registration.warp import grid

Array = jax.Array
Key = jax.Array


def smooth_noise(key: Key, shape: Sequence[int], cells: int) -> Array:
  """Normal noise on a coarse grid of `cells` knots an axis, made smooth; [*S]."""
  coarse = jax.random.normal(key, (cells,) * len(shape))
  return jax.image.resize(coarse, tuple(shape), 'cubic')


def place(key: Key, mask: Array) -> Array:
  """A voxel drawn uniformly from `mask` [*S]; its coordinates [d]."""
  flat = mask.reshape(-1)
  # The inverse of the distribution function: one uniform number a lesion.
  below = jnp.cumsum(flat > 0.5)
  drawn = jax.random.uniform(key) * below[-1]
  index = jnp.searchsorted(below.astype(jnp.float32), drawn, side='right')
  index = jnp.minimum(index, flat.size - 1)
  return jnp.stack(jnp.unravel_index(index, mask.shape)).astype(jnp.float32)


def blob(key: Key, mask: Array, radius: tuple[float, float] = (0.02, 0.14)) -> Array:
  """A soft-edged irregular ellipsoid with its centre in the mask, in [0, 1]; [*S].

  The level set 1 - |A (p - c)| of a random ellipsoid is roughened by smooth noise at
  two scales; `radius` is drawn log-uniformly, as a fraction of the longest axis.
  """
  shape, d = mask.shape, mask.ndim
  keys = jax.random.split(key, 7)
  key_place, key_radius, key_axes, key_rough, key_coarse, key_fine, key_edge = keys
  low, high = (jnp.log(r * max(shape)) for r in radius)
  size = jnp.exp(jax.random.uniform(key_radius, (), minval=low, maxval=high))
  shear = jax.random.uniform(key_axes, (d, d), minval=-0.5, maxval=0.5)
  ellipsoid = (jnp.eye(d) + shear) / size
  offset = grid(shape) - place(key_place, mask).reshape((1,) * d + (d,))
  distance = jnp.sqrt(((offset @ ellipsoid) ** 2).sum(-1) + 1e-6)
  rough = jax.random.uniform(key_rough, (), maxval=0.45)
  noise = smooth_noise(key_coarse, shape, 8) + 0.6 * smooth_noise(key_fine, shape, 16)
  level = (1.0 - distance + rough * noise) * size  # about voxels inside the edge
  edge = jax.random.uniform(key_edge, (), minval=0.35, maxval=1.2)
  return jax.nn.sigmoid(level / edge) * (distance < 2.5) * mask


def blobs(key: Key, mask: Array, most: int = 4) -> Array:
  """The union of one to `most` blobs; [*S]."""
  key_count, key_blobs = jax.random.split(key)
  count = jax.random.randint(key_count, (), 1, most + 1)
  each = jax.vmap(blob, (0, None))(jax.random.split(key_blobs, most), mask)
  there = (jnp.arange(most) < count).reshape((most,) + (1,) * mask.ndim)
  return (each * there).max(0)


def rough_gate(key: Key, painted: Array, mask: Array) -> Array:
  """What an imperfect gate might say of the painted shapes, for training.

  It is tighter or wider than the shape, misses one in ten, and opens in one image of
  seven where nothing is.

  Args:
    key: Used once.
    painted: Soft shapes [B, *S, 1].
    mask: Brain [B, *S, 1].
  """
  key_level, key_wide, key_miss, key_false, key_blob = jax.random.split(key, 5)
  each = (len(mask),) + (1,) * (mask.ndim - 1)
  level = jax.random.uniform(key_level, each, maxval=0.7)
  g = jnp.clip((painted - level) / 0.3, 0, 1)
  g = jnp.where(jax.random.bernoulli(key_wide, 0.5, each), dilate(g, 1), g)
  g = jnp.where(jax.random.bernoulli(key_miss, 0.1, each), 0.0, g)
  false = jax.vmap(blob)(jax.random.split(key_blob, len(mask)), mask[..., 0])
  there = jax.random.bernoulli(key_false, 1 / 7, each)
  return jnp.maximum(g, jnp.where(there, false[..., None], 0.0))
