"""Type of all uncertainty estimators, and functions that build one from samples."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from uad_jax.method import Array, Batch, Infer, Key

Draw = Callable[[Infer, Batch, Key], Array]
"""Function (inference, batch, key) -> one random sample of an output [B, *S, C]."""


class Estimator(NamedTuple):
  """Estimator of the predictive distribution of one output of a method.

  Both functions have the signature (inference, batch, key) -> arrays.

  Attributes:
    of: Name of the output, such as 'reconstruction' or 'displacement'.
    moments: Computes the mean [B, *S, C] and, at each voxel, the covariance of the
      channels [B, *S, C, C].
    samples: Computes samples [M, B, *S, C]; None where the method predicts the variance
      and there are no samples.
  """

  of: str
  moments: Callable[[Infer, Batch, Key], tuple[Array, Array]]
  samples: Callable[[Infer, Batch, Key], Array] | None = None


def of_draws(of: str, draw: Draw, samples: int) -> Estimator:
  """Builds an estimator that draws samples one after another.

  The moments are computed in one pass (Welford 1962), so that memory does not grow with
  the number of samples; the covariance is unbiased.

  Args:
    of: Name of the sampled output.
    draw: Function that draws one sample.
    samples: Number of samples, at least 2.
  """

  def moments(infer: Infer, batch: Batch, key: Key) -> tuple[Array, Array]:
    shape = jax.eval_shape(lambda key: draw(infer, batch, key), key).shape
    empty = jnp.zeros(shape), jnp.zeros((*shape, shape[-1]))

    def add(carry, indexed_key):
      mean, scatter = carry
      index, key = indexed_key
      sample = draw(infer, batch, key)
      before = sample - mean
      mean = mean + before / (index + 1)
      return (mean, scatter + _outer(before, sample - mean)), None

    indexed_keys = (
      jnp.arange(samples, dtype=jnp.float32),
      jax.random.split(key, samples),
    )
    (mean, scatter), _ = jax.lax.scan(add, empty, indexed_keys)
    return mean, scatter / (samples - 1)

  def stacked(infer: Infer, batch: Batch, key: Key) -> Array:
    keys = jax.random.split(key, samples)
    return jax.lax.map(lambda key: draw(infer, batch, key), keys)

  return Estimator(of, moments, stacked)


def of_stacked(of: str, samples: Callable[[Infer, Batch, Key], Array]) -> Estimator:
  """Builds an estimator from a function that computes all samples at once.

  The covariance is unbiased; of a single sample it is 0.

  Args:
    of: Name of the sampled output.
    samples: Function (inference, batch, key) -> [M, B, *S, C].
  """

  def moments(infer: Infer, batch: Batch, key: Key) -> tuple[Array, Array]:
    drawn = samples(infer, batch, key)
    mean = drawn.mean(0)
    deviations = drawn - mean[None]
    scatter = _outer(deviations, deviations).sum(0)
    return mean, scatter / max(len(drawn) - 1, 1)

  return Estimator(of, moments, samples)


def _outer(a: Array, b: Array) -> Array:
  """Outer products of the channels, [..., C, C]."""
  return a[..., :, None] * b[..., None, :]


def deviation(covariance: Array) -> Array:
  """Computes the standard deviation at each voxel, from the covariance of the channels.

  It is sqrt(trace(S) / C), the root of the variance averaged over the channels.

  Args:
    covariance: S [B, *S, C, C].

  Returns:
    [B, *S, 1].

  Examples:
    >>> deviation(jnp.diag(jnp.array([1.0, 7.0])).reshape(1, 1, 2, 2)).tolist()
    [[[2.0]]]
  """
  trace = jnp.trace(covariance, axis1=-2, axis2=-1)[..., None]
  return jnp.sqrt(jnp.maximum(trace / covariance.shape[-1], 0.0))
