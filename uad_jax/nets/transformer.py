"""Causal transformer that predicts the tokens of a grid, one after another.

It is applied to whole sequences in training and token by token in sampling.

Vaswani et al., "Attention is all you need", NeurIPS 2017, with the layer normalisation
before attention and perceptron. Token t of a sequence is predicted from the tokens
before it. A sequence may visit the places of the grid in any order: the network is
given the place of the previous token and the place to predict.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

Array = jax.Array
Cache = tuple[tuple[Array, Array], ...]
"""Keys and values of each block, [B, L, heads, size], of the tokens so far."""


class Block(nn.Module):
  """Transformer block: causal self-attention, then a perceptron, both residual.

  Attributes:
    width: Channels, a multiple of `heads`.
    heads: Attention heads.
  """

  width: int
  heads: int

  def setup(self):
    self.norms = [nn.LayerNorm(), nn.LayerNorm()]
    self.project = nn.Dense(3 * self.width, use_bias=False)
    self.out = nn.Dense(self.width)
    self.up, self.down = nn.Dense(4 * self.width), nn.Dense(self.width)

  def split(self, x: Array) -> tuple[Array, Array, Array]:
    """Normalises features and projects them to queries, keys and values of attention.

    From [B, L, width] to three arrays [B, L, heads, size].
    """
    parts = jnp.split(self.project(self.norms[0](x)), 3, -1)
    shape = (*x.shape[:-1], self.heads, self.width // self.heads)
    return tuple(part.reshape(shape) for part in parts)

  def join(self, x: Array, query: Array, key: Array, value: Array, seen: Array):
    """Applies attention and then the perceptron, each with a residual connection.

    Args:
      x: Features [B, Q, width].
      query: [B, Q, heads, size].
      key: [B, K, heads, size].
      value: [B, K, heads, size].
      seen: [Q, K], True where a query may attend to a key.

    Returns:
      [B, Q, width].
    """
    scores = jnp.einsum('bqhd,bkhd->bhqk', query, key) / query.shape[-1] ** 0.5
    scores = jnp.where(seen[None, None], scores, -1e9)
    mixed = jnp.einsum('bhqk,bkhd->bqhd', jax.nn.softmax(scores), value)
    x = x + self.out(mixed.reshape(x.shape))
    return x + self.down(nn.gelu(self.up(self.norms[1](x))))

  def __call__(self, x: Array) -> Array:
    """Maps the features of whole sequences [B, L, width] to the same shape."""
    length = x.shape[1]
    seen = jnp.tril(jnp.ones((length, length), bool))
    return self.join(x, *self.split(x), seen)

  def step(self, x: Array, cached: tuple[Array, Array], t: Array):
    """Applies the block to token t alone; earlier keys and values come from a cache.

    Args:
      x: Features of the token [B, 1, width].
      cached: Keys and values [B, L, heads, size], filled before t.
      t: Index of the token in the sequence.

    Returns:
      Features [B, 1, width], and the keys and values filled up to t.
    """
    query, *new = self.split(x)
    keys, values = (
      jax.lax.dynamic_update_slice_in_dim(old, part, t, 1)
      for old, part in zip(cached, new, strict=True)
    )
    seen = (jnp.arange(keys.shape[1]) <= t)[None]
    return self.join(x, query, keys, values, seen), (keys, values)


class Transformer(nn.Module):
  """Autoregressive transformer that predicts each token from the tokens before it.

  Attributes:
    vocabulary: Number of different tokens, K.
    starts: Number of start tokens, one for each order of the places; token K + i begins
      order i.
    places: Number of places of the grid, L.
    width: Channels, a multiple of `heads`.
    depth: Number of blocks.
    heads: Attention heads.
  """

  vocabulary: int
  starts: int
  places: int
  width: int
  depth: int
  heads: int

  def setup(self):
    self.token = nn.Embed(self.vocabulary + self.starts, self.width)
    self.asked = nn.Embed(self.places, self.width)
    self.given = nn.Embed(self.places + 1, self.width)
    self.blocks = [Block(self.width, self.heads) for _ in range(self.depth)]
    self.norm = nn.LayerNorm()
    self.logits = nn.Dense(self.vocabulary)

  def embed(self, previous: Array, place: Array, target: Array) -> Array:
    """Sums embeddings of the previous token, its grid place and the place to predict.

    Args:
      previous: Previous tokens [...], in [0, K + starts).
      place: Places of the previous tokens [...]; L for a start token.
      target: Places to predict [...], in [0, L).

    Returns:
      Sum of the three embeddings [..., width].
    """
    return self.token(previous) + self.given(place) + self.asked(target)

  def __call__(self, previous: Array, place: Array, target: Array) -> Array:
    """Computes the logits [B, L, K] of whole sequences.

    Args:
      previous: Token before each token, [B, L]; first the start token of the order.
      place: Place of each previous token, [B, L]; L for the start token.
      target: Place of each token that is predicted, [B, L].
    """
    x = self.embed(previous, place, target)
    for block in self.blocks:
      x = block(x)
    return self.logits(self.norm(x))

  def step(self, previous: Array, place: Array, target: Array, cache: Cache, t: Array):
    """Computes the logits of token t with the cached keys and values of earlier tokens.

    Args:
      previous: Token t - 1 of each sequence, [B]; the start token at t = 0.
      place: Place of the previous token, [B]; L for the start token.
      target: Place of token t, [B].
      cache: Keys and values of the tokens before, by block.
      t: Index of the token in the sequence.

    Returns:
      Logits [B, K], and the cache with token t added.
    """
    x = self.embed(previous, place, target)[:, None]
    updated = []
    for block, cached in zip(self.blocks, cache, strict=True):
      x, pair = block.step(x, cached, t)
      updated.append(pair)
    return self.logits(self.norm(x))[:, 0], tuple(updated)

  def empty(self, batch: int) -> Cache:
    """Creates an empty cache of keys and values for `batch` sequences."""
    shape = (batch, self.places, self.heads, self.width // self.heads)
    return tuple((jnp.zeros(shape), jnp.zeros(shape)) for _ in range(self.depth))
