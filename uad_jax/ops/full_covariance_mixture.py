"""Mixtures of normal distributions with full covariances, from weighted moments.

The moments of several batches are merged without the loss of precision of plain sums of
squares (Chan, Golub and LeVeque 1983).
"""

import math

import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular

Array = jax.Array
Scatter = dict[str, Array]
"""Moments of K components: 'weight' [K], 'mean' [K, D] and 'scatter' [K, D, D], the sum
of w (z - mean) (z - mean)'."""


def empty(components: int, length: int) -> Scatter:
  """Creates the moments of no vectors.

  Args:
    components: K.
    length: D.
  """
  return {
    'weight': jnp.zeros((components,)),
    'mean': jnp.zeros((components, length)),
    'scatter': jnp.zeros((components, length, length)),
  }


def moments(z: Array, shares: Array) -> Scatter:
  """Computes the moments of vectors that are shared among components.

  Args:
    z: [N, D].
    shares: Weight of each vector in each component, [N, K]; 0 for padding.
  """
  weight = shares.sum(0)
  mean = shares.T @ z / jnp.maximum(weight, 1e-6)[:, None]
  apart = z[:, None] - mean[None]
  scatter = jnp.einsum('nk,nkd,nke->kde', shares, apart, apart)
  return {'weight': weight, 'mean': mean, 'scatter': scatter}


def merge(a: Scatter, b: Scatter) -> Scatter:
  """Computes the moments of the vectors of two sets together.

  Examples:
    >>> z = jnp.array([[1.0], [3.0], [8.0]])
    >>> both = merge(*(moments(x, jnp.ones((len(x), 1))) for x in (z[:1], z[1:])))
    >>> both['mean'].tolist(), both['scatter'].tolist()
    ([[4.0]], [[[26.0]]])
  """
  weight = a['weight'] + b['weight']
  part = (b['weight'] / jnp.maximum(weight, 1e-6))[:, None]
  shift = b['mean'] - a['mean']
  between = (a['weight'][:, None] * part)[..., None] * shift[:, :, None]
  return {
    'weight': weight,
    'mean': a['mean'] + part * shift,
    'scatter': a['scatter'] + b['scatter'] + between * shift[:, None],
  }


def covariances(of: Scatter, floor: float) -> Array:
  """Computes the covariances [K, D, D]; `floor` is added to their diagonals."""
  mean = of['scatter'] / jnp.maximum(of['weight'], 1e-6)[:, None, None]
  return mean + floor * jnp.eye(mean.shape[-1])[None]


def energy(z: Array, of: Scatter, floor: float) -> Array:
  """Computes -log p of vectors under the mixture with these moments, in nats.

  The weight of a component is its share of the sum of all weights.

  Args:
    z: [N, D].
    of: Moments.
    floor: Variance added to the diagonals of the covariances, above 0.

  Returns:
    [N].

  Examples:
    >>> one = {'weight': jnp.ones(1), 'mean': jnp.zeros((1, 2)),
    ...        'scatter': jnp.eye(2)[None] - 0.5 * jnp.eye(2)[None]}
    >>> round(float(energy(jnp.zeros((1, 2)), one, 0.5)[0]), 4)  # log(2 pi)
    1.8379
  """
  roots = jnp.linalg.cholesky(covariances(of, floor))
  apart = z[None] - of['mean'][:, None]
  white = jax.vmap(lambda root, x: solve_triangular(root, x.T, lower=True))(
    roots, apart
  )
  log_det = jnp.log(jnp.diagonal(roots, axis1=1, axis2=2)).sum(-1)
  constant = log_det + 0.5 * z.shape[-1] * math.log(2 * math.pi)
  log_p = -0.5 * (white**2).sum(1) - constant[:, None]
  weight = jnp.maximum(of['weight'], 1e-12)
  log_weight = jnp.log(weight) - jnp.log(weight.sum())
  return -jax.nn.logsumexp(log_p + log_weight[:, None], axis=0)
