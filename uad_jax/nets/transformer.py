"""A causal transformer over the tokens of a grid, at once or token by token.

Vaswani et al., "Attention is all you need", NeurIPS 2017, with the norm before each
part. The token at t is predicted from those before it in some order of the places; the
place of each and the place that is asked for are given, so that one network serves all
orders.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

Array = jax.Array
Cache = tuple[tuple[Array, Array], ...]
"""Keys and values [B, L, heads, size] of each block."""


class Block(nn.Module):
  """Attention to what is before, then a perceptron; both added to what came in."""

  width: int
  heads: int

  def setup(self):
    self.norms = [nn.LayerNorm(), nn.LayerNorm()]
    self.project = nn.Dense(3 * self.width, use_bias=False)
    self.out = nn.Dense(self.width)
    self.up, self.down = nn.Dense(4 * self.width), nn.Dense(self.width)

  def split(self, x: Array) -> tuple[Array, Array, Array]:
    """Queries, keys and values [B, L, heads, size] of [B, L, width]."""
    parts = jnp.split(self.project(self.norms[0](x)), 3, -1)
    shape = (*x.shape[:-1], self.heads, self.width // self.heads)
    return tuple(part.reshape(shape) for part in parts)

  def join(self, x: Array, query: Array, key: Array, value: Array, seen: Array):
    """What attention to keys where `seen` [Q, K] and the perceptron make of x."""
    scores = jnp.einsum('bqhd,bkhd->bhqk', query, key) / query.shape[-1] ** 0.5
    scores = jnp.where(seen[None, None], scores, -1e9)
    mixed = jnp.einsum('bhqk,bkhd->bqhd', jax.nn.softmax(scores), value)
    x = x + self.out(mixed.reshape(x.shape))
    return x + self.down(nn.gelu(self.up(self.norms[1](x))))

  def __call__(self, x: Array) -> Array:
    """[B, L, width] to the same shape, all at once."""
    length = x.shape[1]
    seen = jnp.tril(jnp.ones((length, length), bool))
    return self.join(x, *self.split(x), seen)

  def step(self, x: Array, kept: tuple[Array, Array], t: Array):
    """The same for the token at t alone, [B, 1, width], with what is kept so far."""
    query, *new = self.split(x)
    keys, values = (
      jax.lax.dynamic_update_slice_in_dim(old, part, t, 1)
      for old, part in zip(kept, new, strict=True)
    )
    seen = (jnp.arange(keys.shape[1]) <= t)[None]
    return self.join(x, query, keys, values, seen), (keys, values)


class Transformer(nn.Module):
  """Logits of each token given those before it.

  Attributes:
    vocabulary: K kinds of token.
    starts: Kinds of beginning, one for each order.
    places: L places.
    width: Channels.
    depth: Blocks.
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

  def embed(self, before: Array, at: Array, asked: Array) -> Array:
    """The token before, its place (L for a beginning) and the place asked for."""
    return self.token(before) + self.given(at) + self.asked(asked)

  def __call__(self, before: Array, at: Array, asked: Array) -> Array:
    """Logits [B, L, K] for a whole sequence.

    Args:
      before: Token before each, [B, L]; the first is the beginning of its order.
      at: The place of each of these, [B, L].
      asked: The place of the token that is predicted, [B, L].
    """
    x = self.embed(before, at, asked)
    for block in self.blocks:
      x = block(x)
    return self.logits(self.norm(x))

  def step(self, before: Array, at: Array, asked: Array, cache: Cache, t: Array):
    """Logits [B, K] of the token at t, and the cache; the arguments are [B]."""
    x = self.embed(before, at, asked)[:, None]
    kept = []
    for block, old in zip(self.blocks, cache, strict=True):
      x, new = block.step(x, old, t)
      kept.append(new)
    return self.logits(self.norm(x))[:, 0], tuple(kept)

  def empty(self, batch: int) -> Cache:
    """A cache in which nothing is kept yet."""
    shape = (batch, self.places, self.heads, self.width // self.heads)
    return tuple((jnp.zeros(shape), jnp.zeros(shape)) for _ in range(self.depth))
