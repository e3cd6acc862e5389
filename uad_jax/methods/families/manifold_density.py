"""Density of an image on and beside the manifold of an auto-encoder.

Pidhorskyi, Almohsen and Doretto 2018: at an image the decoder is replaced by its
tangent. The part of the image along the n tangent directions has the density of the
code divided by the decoder's stretch, the part beside them a density that depends on
its norm r alone. An image has m values; residuals are r / sqrt(m), so that images of
several sizes share a histogram.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.scipy.special import gammaln

from uad_jax.method import Array
from uad_jax.ops import generalised_gaussian, streaming_quantile
from uad_jax.ops.streaming_quantile import Range

Density = dict[str, Array]
"""Sums over healthy scans: 'count' and 'sum' [n] of the codes, 'high', the largest
residual; and of another pass 'deviation' [n] and 'square' [n], of |z - mean| and its
square, and 'bins', the histogram of the residuals from 0 to 'high'."""

PSEUDO_COUNT = 0.5
"""Added to each bin of the histogram, so that no residual has the density 0."""

TINY = 1e-12


def log_volume(encode: Callable[[Array], Array], image: Array, mask: Array) -> Array:
  """Computes the log of the product of the singular values of an encoder's Jacobian.

  It is log sqrt(det J J'), J = dE / dx of shape (n, m) with respect to the m values of
  the brain, from the triangle of a QR decomposition of J', one backward pass for each
  latent value.

  Args:
    encode: E, from images [B, *S, C] to vectors [B, n]; the vector of an image depends
      on no other image.
    image: [B, *S, C], of at least n values each.
    mask: Brain mask, [B, *S, 1].

  Returns:
    [B].

  Examples:
    >>> image = jnp.ones((1, 2, 2, 1))
    >>> volume = log_volume(lambda x: 3.0 * x[:, 0, :, 0], image, image)
    >>> round(float(volume[0]), 4)  # 2 log 3
    2.1972
  """
  jacobian = jax.vmap(jax.jacrev(lambda x: encode(x[None])[0]))(image) * mask[:, None]
  rows = jacobian.reshape(*jacobian.shape[:2], -1)
  triangle = jnp.linalg.qr(rows.transpose(0, 2, 1), mode='r')
  diagonal = jnp.abs(jnp.diagonal(triangle, axis1=1, axis2=2))
  return jnp.log(jnp.maximum(diagonal, TINY)).sum(-1)


def log_beside(norm: Array, log_p_norm: Array, dimensions: Array) -> Array:
  """Computes the log density of the part w of an image that is beside the manifold.

  It is spread evenly over the sphere of its norm r in N dimensions (equation 9):

    log Gamma(N / 2) - log 2 - N / 2 log pi - (N - 1) log r + log p(r).

  Args:
    norm: r, [B].
    log_p_norm: log p(r), [B].
    dimensions: N, [B], 1 or more.

  Returns:
    [B], in nats.
  """
  sphere = jnp.log(2.0) + 0.5 * dimensions * jnp.log(jnp.pi)
  sphere = sphere - gammaln(0.5 * dimensions)
  radius = jnp.log(jnp.maximum(norm, TINY))
  return log_p_norm - sphere - (dimensions - 1) * radius


def empty(latent: int, bins: int) -> Density:
  """Creates the statistics of no scans.

  Args:
    latent: n, number of latent values.
    bins: Number of bins of the histogram.
  """
  zeros = {name: jnp.zeros(latent) for name in ('sum', 'deviation', 'square')}
  return zeros | {
    'count': jnp.zeros(()),
    'high': jnp.zeros(()),
    'bins': jnp.zeros(bins),
  }


def observe_centre(
  density: Density, z: Array, residual: Array, weight: Array
) -> Density:
  """Adds scans of the first pass: the mean of the codes and the largest residual.

  Args:
    density: From `empty` or `observe_centre`.
    z: Codes [B, n].
    residual: r / sqrt(m), [B].
    weight: [B], 0 for padding.
  """
  largest = jnp.where(weight > 0, residual, 0.0).max()
  return density | {
    'count': density['count'] + weight.sum(),
    'sum': density['sum'] + weight @ z,
    'high': jnp.maximum(density['high'], largest),
  }


def observe_spread(
  density: Density, z: Array, residual: Array, weight: Array
) -> Density:
  """Adds scans of the second pass: deviations of the codes, histogram of residuals.

  The arguments are those of `observe_centre`, whose pass is over.
  """
  apart = z - _centre(density)[None]
  counts = streaming_quantile.observe(density['bins'], residual, weight, _span(density))
  return density | {
    'deviation': density['deviation'] + weight @ jnp.abs(apart),
    'square': density['square'] + weight @ apart**2,
    'bins': counts,
  }


def log_densities(
  density: Density, z: Array, residual: Array, size: Array, power: float
) -> tuple[Array, Array]:
  """Computes the log densities of codes, and of the parts beside the manifold.

  Args:
    density: Statistics after both passes.
    z: Codes [B, n].
    residual: r / sqrt(m), [B].
    size: m, number of values of each image, [B].
    power: Share of the m - n dimensions beside the manifold that count.

  Returns:
    log p(z) and log p(w), each [B], in nats.
  """
  total = jnp.maximum(density['bins'].sum(), 1.0)
  fitted = generalised_gaussian.match_moments(
    _centre(density), density['deviation'] / total, density['square'] / total
  )
  rows = type(fitted)(*(value[None] for value in fitted))
  on = generalised_gaussian.log_density(z, rows).sum(-1)
  log_p_norm = _log_histogram(density, residual) - 0.5 * jnp.log(size)
  dimensions = jnp.maximum(power * (size - z.shape[-1]), 1.0)
  return on, log_beside(residual * jnp.sqrt(size), log_p_norm, dimensions)


def _centre(density: Density) -> Array:
  return density['sum'] / jnp.maximum(density['count'], 1.0)


def _span(density: Density) -> Range:
  return Range(0.0, jnp.maximum(density['high'], TINY), len(density['bins']))


def _log_histogram(density: Density, residual: Array) -> Array:
  """Log density of residuals by the histogram; beyond its range, of an empty bin."""
  _, high, bins = _span(density)
  place = residual / high * bins
  counts = density['bins'][jnp.clip(place, 0, bins - 1).astype(int)]
  counts = jnp.where(place <= bins, counts, 0.0) + PSEUDO_COUNT
  total = density['bins'].sum() + bins * PSEUDO_COUNT
  return jnp.log(counts) - jnp.log(total * high / bins)
