"""Simplex noise in 2-D and 3-D: smooth random fields at one or several scales.

Perlin, "Noise hardware", SIGGRAPH course 2001: the plane (space) is divided into
triangles (tetrahedra), each vertex v has a random direction g_v, and the noise at p is
sum_v max(1/2 - |p - v|^2, 0)^4 g_v . (p - v) over the vertices of the simplex of p.

Here the directions come from an integer hash of vertex and seed instead of a table of
256, so that nothing repeats, and the lattice is displaced at random. The noise is then
stationary with mean 0 and a variance known in closed form; it is divided by its
standard deviation.
"""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from uad_jax.registration.warp import grid

Array = jax.Array
Key = jax.Array

PRIMES = (0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D)
"""Factors of a vertex's coordinates in its hash."""


def variance(d: int) -> float:
  """Computes the variance of simplex noise before it is scaled to variance 1.

  The variance at a random point, for period 1 in d dimensions: the integral of
  k(r)^2 r^2 / d over space times the vertices per volume, sqrt(d + 1), with the kernel
  k(r) = max(1/2 - r^2, 0)^4. The kernel reaches no further than the simplices around
  its vertex, and the directions of vertices are independent, so that their variances
  add up.

  Args:
    d: Number of dimensions, 2 or 3.
  """
  sphere = 2 * math.pi ** (d / 2) / math.gamma(d / 2)
  beta = math.gamma(d / 2 + 1) * math.gamma(9) / math.gamma(d / 2 + 10)
  return math.sqrt(d + 1) * sphere / d * 0.5 * 0.5 ** (d / 2 + 9) * beta


def _mix(h: Array) -> Array:
  """Mixes the bits of an integer by the finaliser of MurmurHash3 (Appleby 2011)."""
  h = (h ^ (h >> 16)) * jnp.uint32(0x85EBCA6B)
  h = (h ^ (h >> 13)) * jnp.uint32(0xC2B2AE35)
  return h ^ (h >> 16)


def _direction(seed: Array, vertex: Sequence[Array]) -> list[Array]:
  """Unit vector of each vertex [d][*S], uniform on the circle or the sphere."""
  h = jnp.broadcast_to(seed, vertex[0].shape)
  for index, prime in zip(vertex, PRIMES, strict=False):
    h = _mix(h ^ (index.astype(jnp.uint32) * jnp.uint32(prime)))
  if len(vertex) == 2:
    angle = h.astype(jnp.float32) * (2 * math.pi / 2**32)
    return [jnp.cos(angle), jnp.sin(angle)]
  angle = (h >> 16).astype(jnp.float32) * (2 * math.pi / 2**16)
  height = ((h & 0xFFFF).astype(jnp.float32) + 0.5) * (2 / 2**16) - 1
  radius = jnp.sqrt(1 - height**2)
  return [radius * jnp.cos(angle), radius * jnp.sin(angle), height]


def simplex(key: Key, shape: Sequence[int], period: float | Array) -> Array:
  """Samples simplex noise of one scale (one octave), with mean 0 and variance 1.

  Args:
    key: Random key.
    shape: Sizes of the field, 2-D or 3-D.
    period: Edge of the lattice's cubes in voxels: about the size of the noise's blobs.

  Returns:
    [*shape].

  Raises:
    ValueError: The shape is neither 2-D nor 3-D.
  """
  d = len(shape)
  if d not in (2, 3):
    raise ValueError(f'simplex noise has 2 or 3 dimensions, not {d}')
  skew = (math.sqrt(d + 1) - 1) / d
  unskew = (1 - 1 / math.sqrt(d + 1)) / d
  key_seed, key_offset = jax.random.split(key)
  seed = jax.random.bits(key_seed, (), jnp.uint32)
  # In skewed coordinates the vertices are the whole numbers; uniform in their cube.
  offset = jax.random.uniform(key_offset, (d,))
  points = [axis / period for axis in jnp.moveaxis(grid(tuple(shape)), -1, 0)]
  along = skew * sum(points)
  skewed = [axis + along + shift for axis, shift in zip(points, offset, strict=True)]
  corner = [jnp.floor(axis) for axis in skewed]
  fraction = [a - b for a, b in zip(skewed, corner, strict=True)]
  # The simplex: along the axes one by one, that of the largest fraction first.
  rank = [
    sum(
      (fraction[other] > fraction[axis])
      | ((fraction[other] == fraction[axis]) & (other < axis))
      for other in range(d)
    )
    for axis in range(d)
  ]
  total, shift = jnp.zeros(tuple(shape)), unskew * sum(fraction)
  for number in range(d + 1):
    steps = [(r < number).astype(jnp.float32) for r in rank]
    from_vertex = [
      f - shift - s + unskew * number for f, s in zip(fraction, steps, strict=True)
    ]
    vertex = [(c + s).astype(jnp.int32) for c, s in zip(corner, steps, strict=True)]
    slope = sum(
      g * x for g, x in zip(_direction(seed, vertex), from_vertex, strict=True)
    )
    square = sum(x * x for x in from_vertex)
    total = total + jnp.maximum(0.5 - square, 0.0) ** 4 * slope
  return total / math.sqrt(variance(d))


def octaves(
  key: Key,
  shape: Sequence[int],
  number: int = 6,
  persistence: float = 0.8,
  coarsest: float = 0.25,
) -> Array:
  """Samples simplex noise of several scales, as a weighted sum of octaves.

  Each octave n_i has half the period of the one before. The sum over i of
  persistence^i n_i is divided so that the variance is 1. The defaults are those of
  Wyatt et al. 2022 (a period of 64 at 256 x 256).

  Args:
    key: Random key.
    shape: Sizes of the field, 2-D or 3-D.
    number: Number of octaves.
    persistence: Ratio of the amplitudes of an octave and the one before.
    coarsest: Period of the first octave, as a fraction of the longest axis.

  Returns:
    [*shape].
  """
  halvings = jnp.arange(number, dtype=jnp.float32)
  amplitude = persistence**halvings
  amplitude = amplitude / jnp.sqrt((amplitude**2).sum())

  def octave(key, period):
    return simplex(key, shape, period)

  fields = jax.vmap(octave)(
    jax.random.split(key, number), coarsest * max(shape) * 0.5**halvings
  )
  return jnp.tensordot(amplitude, fields, 1)


def noise(key: Key, like: Array, **options) -> Array:
  """Samples simplex noise by `octaves` for each example and channel of a batch.

  Args:
    key: Random key.
    like: Images [B, *S, C] that give the shape.
    **options: Options of `octaves`: number, persistence, coarsest.

  Returns:
    [B, *S, C].
  """
  shape = like.shape[1:-1]
  keys = jax.random.split(key, like.shape[0] * like.shape[-1])
  fields = jax.vmap(lambda key: octaves(key, shape, **options))(keys)
  return jnp.moveaxis(fields.reshape(like.shape[0], like.shape[-1], *shape), 1, -1)
