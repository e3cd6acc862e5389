"""Many reconstructions: the residual against their mean, variance and covariance."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from uad_jax.method import Array, Batch, Infer, Key, Scorer, need
from uad_jax.ops.residual_sign import signed


def draw(infer: Infer, batch: Batch, key: Key, of: str) -> Array:
  """One sample of the output `of`; [B, *S, C]."""
  return need(infer({**batch}, key), 'monte_carlo', of)[0]


def moments(
  infer: Infer, batch: Batch, key: Key, samples: int, of: str = 'reconstruction'
) -> tuple[Array, Array]:
  """Mean [B, *S, C] and covariance by voxel [B, *S, C, C] of the output `of`.

  One pass (Welford 1962), so that the memory does not grow with the samples; the
  covariance is the unbiased one.
  """
  image = batch['image']
  empty = jnp.zeros(image.shape), jnp.zeros((*image.shape, image.shape[-1]))

  def add(carry, drawn):
    mean, scatter = carry
    index, key = drawn
    sample = draw(infer, batch, key, of)
    before = sample - mean
    mean = mean + before / (index + 1)
    return (mean, scatter + before[..., :, None] * (sample - mean)[..., None, :]), None

  drawn = jnp.arange(samples, dtype=jnp.float32), jax.random.split(key, samples)
  (mean, scatter), _ = jax.lax.scan(add, empty, drawn)
  return mean, scatter / (samples - 1)


def every(infer: Infer, batch: Batch, key: Key, samples: int, of: str) -> tuple[Array]:
  """All samples; [N, B, *S, C]."""
  keys = jax.random.split(key, samples)
  return (jax.lax.map(lambda key: draw(infer, batch, key, of), keys),)


def average(image: Array, mean: Array, covariance: Array, floor: float, side) -> Array:
  """The residual against the mean, by `side` of `SIGNS`; [B, *S, 1]."""
  return side(image - mean).mean(-1, keepdims=True)


def variance(image: Array, mean: Array, covariance: Array, floor: float, side) -> Array:
  """Of the samples, channels averaged; [B, *S, 1]."""
  return jnp.trace(covariance, axis1=-2, axis2=-1)[..., None] / image.shape[-1]


def by_voxel(image: Array, mean: Array, covariance: Array, floor: float, side) -> Array:
  """sqrt(r' (S + floor^2 I)^-1 r) of each voxel, S over its channels; [B, *S, 1]."""
  residual = image - mean
  if residual.shape[-1] == 1:
    return jnp.abs(residual) / jnp.sqrt(covariance[..., 0] + floor**2)
  floors = floor**2 * jnp.broadcast_to(jnp.eye(residual.shape[-1]), covariance.shape)
  solved = jnp.linalg.solve(covariance + floors, residual[..., None])[..., 0]
  return jnp.sqrt((residual * solved).sum(-1, keepdims=True))


def between_voxels(image: Array, drawn: Array, floor: float, side) -> Array:
  """sqrt(max(0, r_i (P r)_i)), P = (S + floor^2 I)^-1, S of all values; [B, *S, 1].

  S, of an image's voxels and channels, has the rank of the samples, so that only a
  system of their number is solved (Woodbury).

  Args:
    image: [B, *S, C].
    drawn: [N, B, *S, C].
    floor: In image units.
    side: Not asked.
  """
  mean = drawn.mean(0)
  apart = jnp.moveaxis(drawn - mean[None], 0, 1).reshape(len(image), len(drawn), -1)
  r = (image - mean).reshape(len(image), -1)
  inner = jnp.einsum('bip,bjp->bij', apart, apart)
  inner += floor**2 * (len(drawn) - 1) * jnp.eye(len(drawn))[None]
  known = jnp.linalg.solve(inner, jnp.einsum('bip,bp->bi', apart, r)[..., None])
  left = (r - jnp.einsum('bip,bi->bp', apart, known[..., 0])) / floor**2
  found = (r * left).reshape(image.shape).sum(-1, keepdims=True)
  return jnp.sqrt(jnp.maximum(found, 0.0))


class Kind(NamedTuple):
  """How samples become a map.

  Attributes:
    gather: (infer, batch, key, samples, of) -> what of the samples is needed.
    value: (image, *gathered, floor, side) -> map [B, *S, 1].
    signed: Whether it has a `side`.
    floored: Whether it has a `floor`.
  """

  gather: Callable
  value: Callable
  signed: bool = False
  floored: bool = False


FLOOR = 0.02

KINDS = {
  'mean': Kind(moments, average, signed=True),
  'variance': Kind(moments, variance),
  'mahalanobis': Kind(moments, by_voxel, floored=True),
  'mahalanobis_full': Kind(every, between_voxels, floored=True),
}


def make(
  kind: str = 'mahalanobis',
  samples: int = 16,
  of: str = 'reconstruction',
  floor: float | None = None,
  sign: str = 'absolute',
) -> Scorer:
  """A map of `samples` inferences with keys of their own; [B, *S, 1], in the mask.

  'mean': |x - mean|, channels averaged (Baur et al. 2021, Monte Carlo samples).
  'variance': of the samples, channels averaged: where the model is unsure.
  'mahalanobis_full': sqrt(r_i (P r)_i), r = x - mean, P the inverse of the covariance
  of all voxels of an image over the samples, plus floor^2 (Behrendt et al. 2024, arXiv
  2407.12474, with a floor of 0.1; what is negative is 0 here).
  'mahalanobis': their diagonal variant, by voxel: sqrt(r' (cov + floor^2 I)^-1 r), the
  covariance over the channels; of one contrast |r| / deviation.

  It is for methods whose inference depends on the key (dropout, a sampled latent,
  diffusion); of the others every sample is the same, the variance 0.

  Args:
    kind: One of `KINDS`.
    samples: How many, at least 2.
    of: The output that is sampled.
    floor: Deviation added to that of the samples, in image units, by the two
      distances: 0.02 unless it is given.
    sign: Of 'mean': 'absolute', 'bright' (as Baur et al. score) or 'dark'.
  """
  if kind not in KINDS:
    raise ValueError(f"monte_carlo: no kind '{kind}'; there are {', '.join(KINDS)}")
  if samples < 2:
    raise ValueError(f'monte_carlo needs at least 2 samples, not {samples}')
  side = signed(sign, 'monte_carlo')
  gather, value, has_sign, has_floor = KINDS[kind]
  if sign != 'absolute' and not has_sign:
    raise ValueError(f"monte_carlo: kind '{kind}' has no sign, '{sign}' was given")
  if floor is not None and not has_floor:
    raise ValueError(f"monte_carlo: kind '{kind}' has no floor, {floor} was given")
  floor = FLOOR if floor is None else floor

  def score(infer: Infer, batch: Batch, key: Key) -> Array:
    gathered = gather(infer, batch, key, samples, of)
    return value(batch['image'], *gathered, floor, side) * batch['mask']

  return score
