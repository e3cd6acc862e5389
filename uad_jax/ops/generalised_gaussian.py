"""Generalised Gaussian densities of one variable, fitted by the moments of a sample."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.special import gammaln

Array = jax.Array

SHAPES = (0.2, 10.0)
"""Smallest and largest shape that is fitted; 1 is the Laplace density, 2 the normal."""

HALVINGS = 40
"""Halvings of the interval of the shape, beyond the precision of float32."""


class GeneralisedGaussian(NamedTuple):
  """Parameters of p(z) = b / (2 a Gamma(1 / b)) exp(-(|z - mean| / a)^b).

  Attributes:
    mean: [...].
    scale: a, above 0, [...].
    shape: b, above 0, [...].
  """

  mean: Array
  scale: Array
  shape: Array


def log_density(z: Array, density: GeneralisedGaussian) -> Array:
  """Computes the log density of each value, in nats.

  Args:
    z: [...].
    density: Parameters of the same or broadcastable shape.

  Returns:
    [...].

  Examples:
    >>> laplace = GeneralisedGaussian(jnp.array(0.0), jnp.array(1.0), jnp.array(1.0))
    >>> round(float(log_density(jnp.array(3.0), laplace)), 4)  # -3 - log 2
    -3.6931
  """
  mean, scale, shape = density
  constant = jnp.log(shape) - jnp.log(2 * scale) - gammaln(1 / shape)
  return constant - (jnp.abs(z - mean) / scale) ** shape


def log_ratio(shape: Array) -> Array:
  """Computes log of (E |z - mean|)^2 / E (z - mean)^2 for a shape b.

  The ratio, Gamma(2 / b)^2 / (Gamma(1 / b) Gamma(3 / b)), rises with b: 1/2 for 1,
  2 / pi for 2, 3/4 in the limit.

  Examples:
    >>> round(float(jnp.exp(log_ratio(jnp.array(1.0)))), 4)
    0.5
  """
  return 2 * gammaln(2 / shape) - gammaln(1 / shape) - gammaln(3 / shape)


def match_moments(
  mean: Array, deviation: Array, variance: Array
) -> GeneralisedGaussian:
  """Fits a density by its mean, mean absolute deviation and variance (Mallat 1989).

  The shape solves `log_ratio`, by bisection within `SHAPES`; the scale then gives the
  variance. Both moments can be summed over batches, as those of a maximum-likelihood
  fit, which needs every sample at each iteration, cannot.

  Args:
    mean: [...].
    deviation: E |z - mean|, [...].
    variance: E (z - mean)^2, [...]; below 1e-12 it counts as 1e-12.
  """
  variance = jnp.maximum(variance, 1e-12)
  target = 2 * jnp.log(jnp.maximum(deviation, 1e-12)) - jnp.log(variance)

  def halve(_, interval):
    low, high = interval
    middle = 0.5 * (low + high)
    below = log_ratio(jnp.exp(middle)) < target
    return jnp.where(below, middle, low), jnp.where(below, high, middle)

  ends = tuple(jnp.full_like(target, jnp.log(end)) for end in SHAPES)
  low, high = jax.lax.fori_loop(0, HALVINGS, halve, ends)
  shape = jnp.exp(0.5 * (low + high))
  log_scale = 0.5 * (jnp.log(variance) + gammaln(1 / shape) - gammaln(3 / shape))
  return GeneralisedGaussian(mean, jnp.exp(log_scale), shape)
