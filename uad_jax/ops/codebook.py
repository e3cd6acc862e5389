"""Functions that create, search and update the codebook of a VQ auto-encoder.

van den Oord et al., "Neural discrete representation learning", NeurIPS 2017, appendix
A.1: the codebook is updated by exponential moving averages, not by gradients. It has K
codes of D values.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

Array = jax.Array


Codebook = dict[str, Array]
"""'codes' [K, D], and the moving averages from which they are computed: 'count' [K],
the vectors assigned to each code, and 'total' [K, D], the sum of these vectors."""


def start(key: Array, codes: int, size: int) -> Codebook:
  """Creates a codebook of random codes from a standard normal distribution.

  The average count of each code starts at 1.

  Args:
    key: Random key.
    codes: Number of codes, K.
    size: Number of values of a code, D.
  """
  drawn = jax.random.normal(key, (codes, size))
  return {'codes': drawn, 'count': jnp.ones(codes), 'total': drawn}


def nearest(codes: Array, z: Array) -> Array:
  """Finds for each vector the index of the nearest code (Euclidean distance).

  Args:
    codes: Codes [K, D].
    z: Vectors [..., D].

  Returns:
    Indices of codes (tokens) [...].

  Examples:
    >>> codes = jnp.array([[0.0, 0.0], [1.0, 1.0]])
    >>> nearest(codes, jnp.array([[0.2, 0.1], [0.9, 1.5]])).tolist()
    [0, 1]
  """
  flat = z.reshape(-1, z.shape[-1])
  product = jnp.matmul(flat, codes.T, precision='highest')
  distance = (codes**2).sum(-1)[None] - 2 * product  # up to |z|^2, equal for all codes
  return distance.argmin(-1).reshape(z.shape[:-1])


class CodebookUpdate(NamedTuple):
  """Updated codebook, and a measure of how evenly a batch of vectors uses the codes.

  Attributes:
    codebook: The codebook after the update.
    perplexity: Exponential of the entropy of the codes' frequencies, in [1, K]; near 1
      the codebook has collapsed to one code.
  """

  codebook: Codebook
  perplexity: Array


def update(
  book: Codebook,
  z: Array,
  tokens: Array,
  weight: Array,
  key: Array,
  decay: float = 0.99,
  epsilon: float = 1e-5,
  dead: float = 0.05,
) -> CodebookUpdate:
  """Moves each code towards the mean of the encoder vectors that are nearest to it.

  N <- g N + (1 - g) n, m <- g m + (1 - g) sum z, code = m / N~ with the smoothed
  N~ = (N + e) / (sum N + K e) sum N, where n counts the vectors of a code in the batch,
  N is 'count' and m is 'total'. A code with a count below `dead` times the mean count
  is replaced by a random vector of the batch.

  Args:
    book: Codebook of K codes of D values.
    z: Vectors from the encoder, [N, D].
    tokens: Index of the nearest code of each vector, [N].
    weight: Weight of each vector, [N]; 0 leaves a vector out.
    key: Random key that chooses the vectors which replace dead codes.
    decay: g in [0, 1), the share of the averages that an update keeps.
    epsilon: e, smooths the counts.
    dead: A code is dead (not used) if its count is below this share of the mean count.

  Examples:
    >>> book = start(jax.random.key(0), 2, 1) | {'codes': jnp.array([[0.0], [4.0]])}
    >>> z, tokens = jnp.array([[1.0], [5.0]]), jnp.array([0, 1])
    >>> updated = update(book, z, tokens, jnp.ones(2), jax.random.key(1), decay=0.0)
    >>> updated.codebook['codes'].round().tolist(), round(float(updated.perplexity), 3)
    ([[1.0], [5.0]], 2.0)
  """
  size = len(book['codes'])
  one_hot = jax.nn.one_hot(tokens, size) * weight[:, None]
  used = one_hot.sum(0)
  count = decay * book['count'] + (1 - decay) * used
  total = decay * book['total'] + (1 - decay) * jnp.matmul(
    one_hot.T, z, precision='highest'
  )
  count_sum = count.sum()
  smoothed = (count + epsilon) / (count_sum + size * epsilon) * count_sum
  codes = total / smoothed[:, None]

  log_chances = jnp.log(jnp.maximum(weight, 1e-9))
  fresh = z[jax.random.categorical(key, log_chances, shape=(size,))]
  mean = count_sum / size
  unused = (count < dead * mean)[:, None]
  updated = {
    'codes': jnp.where(unused, fresh, codes),
    'count': jnp.where(unused[:, 0], mean, count),
    'total': jnp.where(unused, fresh * mean, total),
  }
  share = used / jnp.maximum(used.sum(), 1e-6)
  perplexity = jnp.exp(-(share * jnp.log(jnp.maximum(share, 1e-12))).sum())
  return CodebookUpdate(updated, perplexity)
