"""Many reconstructions: the residual against their mean, variance and covariance."""

import jax
import jax.numpy as jnp

from uad_jax.method import Array, Batch, Infer, Key, Scorer, need


def _mean(residual: Array, covariance: Array, floor: float) -> Array:
  return jnp.abs(residual).mean(-1, keepdims=True)


def _variance(residual: Array, covariance: Array, floor: float) -> Array:
  return jnp.trace(covariance, axis1=-2, axis2=-1)[..., None] / residual.shape[-1]


def _mahalanobis(residual: Array, covariance: Array, floor: float) -> Array:
  if residual.shape[-1] == 1:
    return jnp.abs(residual) / jnp.sqrt(covariance[..., 0] + floor**2)
  floors = floor**2 * jnp.broadcast_to(jnp.eye(residual.shape[-1]), covariance.shape)
  solved = jnp.linalg.solve(covariance + floors, residual[..., None])[..., 0]
  return jnp.sqrt((residual * solved).sum(-1, keepdims=True))


KINDS = {'mean': _mean, 'variance': _variance, 'mahalanobis': _mahalanobis}


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
    (sample,) = need(infer({**batch}, key), 'monte_carlo', of)
    before = sample - mean
    mean = mean + before / (index + 1)
    return (mean, scatter + before[..., :, None] * (sample - mean)[..., None, :]), None

  drawn = jnp.arange(samples, dtype=jnp.float32), jax.random.split(key, samples)
  (mean, scatter), _ = jax.lax.scan(add, empty, drawn)
  return mean, scatter / (samples - 1)


def make(
  kind: str = 'mahalanobis',
  samples: int = 16,
  of: str = 'reconstruction',
  floor: float = 0.02,
) -> Scorer:
  """A map of `samples` inferences with keys of their own; [B, *S, 1], in the mask.

  'mean': |x - mean|, channels averaged (Baur et al. 2021, Monte Carlo samples).
  'variance': of the samples, channels averaged: where the model is unsure.
  'mahalanobis': sqrt(r' (cov + floor^2 I)^-1 r) with r = x - mean, over the channels
  (Behrendt et al. 2024, arXiv 2407.12474); of one contrast r / deviation.

  It is for methods whose inference depends on the key (dropout, a sampled latent,
  diffusion); of the others every sample is the same, the variance 0.

  Args:
    kind: One of `KINDS`.
    samples: How many, at least 2.
    of: The output that is sampled.
    floor: Deviation added to that of the samples, in image units.
  """
  if kind not in KINDS:
    raise ValueError(f"monte_carlo: no kind '{kind}'; there are {', '.join(KINDS)}")
  if samples < 2:
    raise ValueError(f'monte_carlo needs at least 2 samples, not {samples}')

  def score(infer: Infer, batch: Batch, key: Key) -> Array:
    mean, covariance = moments(infer, batch, key, samples, of)
    value = KINDS[kind](batch['image'] - mean, covariance, floor)
    return value * batch['mask']

  return score
