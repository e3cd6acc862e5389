"""Simplex noise: smooth random fields with one scale an octave, 2-D and 3-D.

Perlin, "Noise hardware", SIGGRAPH course 2001: the plane (space) is divided into
triangles (tetrahedra), each vertex v has a random direction g_v, and the noise at p is
sum_v max(1/2 - |p - v|^2, 0)^4 g_v . (p - v) over the vertices of the simplex of p.

Here the directions come from an integer hash of vertex and seed instead of a table of
256, so that nothing repeats, and the lattice is displaced at random. The noise is then
stationary with mean 0 and a variance known in closed form, by which it is divided.
"""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from uad_jax.registration.warp import grid

Array = jax.Array
Key = jax.Array

PRIMES = (0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D)


def variance(d: int) -> float:
  """Variance of the sum above at a random point: int k(r)^2 r^2 / d over the cell.

  k = (1/2 - r^2)^4; its support lies within the simplices of a vertex, so that those of
  all vertices simply add up. The lattice has a vertex in a volume of 1 / sqrt(d + 1).
  """
  sphere = 2 * math.pi ** (d / 2) / math.gamma(d / 2)
  beta = math.gamma(d / 2 + 1) * math.gamma(9) / math.gamma(d / 2 + 10)
  return math.sqrt(d + 1) * sphere / d * 0.5 * 0.5 ** (d / 2 + 9) * beta


def _mix(h: Array) -> Array:
  """The finaliser of MurmurHash3 (Appleby 2011): every bit depends on every bit."""
  h = (h ^ (h >> 16)) * jnp.uint32(0x85EBCA6B)
  h = (h ^ (h >> 13)) * jnp.uint32(0xC2B2AE35)
  return h ^ (h >> 16)


def _direction(seed: Array, vertex: Sequence[Array]) -> list[Array]:
  """A unit vector for each vertex [d][*S], uniform on the circle or the sphere."""
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
  """One octave of mean 0 and variance 1; [*shape].

  Args:
    key: Used once.
    shape: Of the field, 2-D or 3-D.
    period: Edge of the lattice's cubes in voxels: about the size of its blobs.
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
  where = [axis / period for axis in jnp.moveaxis(grid(tuple(shape)), -1, 0)]
  along = skew * sum(where)
  skewed = [axis + along + shift for axis, shift in zip(where, offset, strict=True)]
  corner = [jnp.floor(axis) for axis in skewed]
  inside = [a - b for a, b in zip(skewed, corner, strict=True)]
  # The simplex: along the axes one by one, that of the largest fraction first.
  rank = [
    sum(
      (inside[other] > inside[axis])
      | ((inside[other] == inside[axis]) & (other < axis))
      for other in range(d)
    )
    for axis in range(d)
  ]
  total, shift = jnp.zeros(tuple(shape)), unskew * sum(inside)
  for number in range(d + 1):
    taken = [(r < number).astype(jnp.float32) for r in rank]
    from_vertex = [
      f - shift - t + unskew * number for f, t in zip(inside, taken, strict=True)
    ]
    vertex = [(c + t).astype(jnp.int32) for c, t in zip(corner, taken, strict=True)]
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
  """Several octaves, each of half the period of the one before; [*shape].

  sum_i persistence^i n_i, divided so that the variance is 1. The defaults are those of
  Wyatt et al. 2022 (a period of 64 at 256 x 256).

  Args:
    key: Used once.
    shape: Of the field, 2-D or 3-D.
    number: Of octaves.
    persistence: Amplitude of an octave over that of the one before.
    coarsest: First period, as a share of the longest axis.
  """
  halvings = jnp.arange(number, dtype=jnp.float32)
  size = persistence**halvings
  size = size / jnp.sqrt((size**2).sum())

  def one(key, period):
    return simplex(key, shape, period)

  fields = jax.vmap(one)(
    jax.random.split(key, number), coarsest * max(shape) * 0.5**halvings
  )
  return jnp.tensordot(size, fields, 1)


def noise(key: Key, like: Array, **options) -> Array:
  """Independent `octaves` for each example and channel of [B, *S, C]."""
  shape = like.shape[1:-1]
  keys = jax.random.split(key, like.shape[0] * like.shape[-1])
  fields = jax.vmap(lambda key: octaves(key, shape, **options))(keys)
  return jnp.moveaxis(fields.reshape(like.shape[0], like.shape[-1], *shape), 1, -1)
