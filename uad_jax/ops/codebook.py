"""A codebook that follows its codes by exponential averages.

van den Oord et al., "Neural discrete representation learning", NeurIPS 2017, appendix
A.1. K codes of D values.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

Array = jax.Array


Codebook = dict[str, Array]
"""'codes' [K, D]; 'count' [K] and 'total' [K, D], the averages they are made of."""


def start(key: Array, codes: int, size: int) -> Codebook:
  """Normal codes, each counted once."""
  drawn = jax.random.normal(key, (codes, size))
  return {'codes': drawn, 'count': jnp.ones(codes), 'total': drawn}


def nearest(codes: Array, z: Array) -> Array:
  """Index of the nearest code by the Euclidean distance; [..., D] to [...]."""
  flat = z.reshape(-1, z.shape[-1])
  product = jnp.matmul(flat, codes.T, precision='highest')
  distance = (codes**2).sum(-1)[None] - 2 * product  # up to |z|^2, alike for all
  return distance.argmin(-1).reshape(z.shape[:-1])


class Moved(NamedTuple):
  """A moved codebook and what tells of its health."""

  codebook: Codebook
  perplexity: Array


def follow(
  book: Codebook,
  z: Array,
  tokens: Array,
  weight: Array,
  key: Array,
  decay: float = 0.99,
  epsilon: float = 1e-5,
  dead: float = 0.05,
) -> Moved:
  """The codebook after it saw codes `z` with their nearest `tokens`.

  N <- g N + (1 - g) n, m <- g m + (1 - g) sum z, code = m / N~ with the smoothed
  N~ = (N + e) / (sum N + K e) sum N. A code that is used less often than `dead` times
  the mean begins anew at one of the z.

  Args:
    book: K codes.
    z: [N, D].
    tokens: [N].
    weight: [N]; 0 leaves a z out.
    key: Chooses where dead codes begin.
    decay: g.
    epsilon: e.
    dead: Share of the mean count.
  """
  size = len(book['codes'])
  one_hot = jax.nn.one_hot(tokens, size) * weight[:, None]
  used = one_hot.sum(0)
  count = decay * book['count'] + (1 - decay) * used
  total = decay * book['total'] + (1 - decay) * jnp.matmul(
    one_hot.T, z, precision='highest'
  )
  whole = count.sum()
  smoothed = (count + epsilon) / (whole + size * epsilon) * whole
  codes = total / smoothed[:, None]

  chances = jnp.log(jnp.maximum(weight, 1e-9))
  fresh = z[jax.random.categorical(key, chances, shape=(size,))]
  mean = whole / size
  gone = (count < dead * mean)[:, None]
  moved = {
    'codes': jnp.where(gone, fresh, codes),
    'count': jnp.where(gone[:, 0], mean, count),
    'total': jnp.where(gone, fresh * mean, total),
  }
  share = used / jnp.maximum(used.sum(), 1e-6)
  perplexity = jnp.exp(-(share * jnp.log(jnp.maximum(share, 1e-12))).sum())
  return Moved(moved, perplexity)
