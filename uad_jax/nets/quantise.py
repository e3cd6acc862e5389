"""A codebook that follows its codes by exponential averages, and the nets about it.

van den Oord et al., "Neural discrete representation learning", NeurIPS 2017, appendix
A.1. K codes of D values.
"""

from collections.abc import Sequence
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from uad_jax.nets.conv import Conv
from uad_jax.nets.features import keep
from uad_jax.nets.transposed import ConvTranspose

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


class Residual(nn.Module):
  """x + conv1(relu(conv3(relu(x))))."""

  width: int

  @nn.compact
  def __call__(self, x: Array) -> Array:
    """[B, *S, width] to the same shape."""
    d = x.ndim - 2
    y = nn.relu(Conv(self.width, (3,) * d)(nn.relu(x)))
    return x + Conv(self.width, (1,) * d)(y)


class VQEncoder(nn.Module):
  """Convolutions of 4^d, stride 2, residual units after each, then to D values."""

  widths: Sequence[int]
  size: int
  units: int = 2

  @nn.compact
  def __call__(self, x: Array) -> Array:
    """[B, *S, C] to [B, *S / 2^levels, D]."""
    d = x.ndim - 2
    for width in self.widths:
      x = nn.relu(Conv(width, (4,) * d, 2)(x))
      for _ in range(self.units):
        x = Residual(width)(x)
      keep(self, x)
    return Conv(self.size, (1,) * d)(nn.relu(x))


class VQDecoder(nn.Module):
  """The mirror of `VQEncoder`, by transposed convolutions of 4^d."""

  widths: Sequence[int]
  channels: int
  units: int = 2

  @nn.compact
  def __call__(self, z: Array) -> Array:
    """[B, *S / 2^levels, D] to [B, *S, C]."""
    d = z.ndim - 2
    x = Conv(self.widths[0], (3,) * d)(z)
    for place, width in enumerate(self.widths):
      for _ in range(self.units):
        x = Residual(x.shape[-1])(x)
      last = place == len(self.widths) - 1
      after = width if last else self.widths[place + 1]
      x = nn.relu(ConvTranspose(after, edge=4)(nn.relu(x)))
    return Conv(self.channels, (1,) * d)(x)
