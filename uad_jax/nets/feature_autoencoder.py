"""Networks that restore feature maps: auto-encoder, student, masked transformer."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from uad_jax.nets.feature_pyramid import Unit
from uad_jax.nets.layers.conv import Conv
from uad_jax.nets.layers.resample import upsample

Array = jax.Array


class FeatureAutoencoder(nn.Module):
  """Convolutional auto-encoder of feature maps (Meissen et al. 2022).

  Attributes:
    widths: Channels of the encoder, each level at half the grid of the one before; the
      decoder mirrors them.
  """

  widths: Sequence[int]

  @nn.compact
  def __call__(self, maps: Sequence[Array]) -> list[Array]:
    """Maps one map of features [B, *s, K] to its reconstruction of the same shape."""
    (x,) = maps
    channels, grids = x.shape[-1], []
    for width in self.widths:
      grids.append(x.shape[1:-1])
      x = Unit(width, 2)(x)
    for grid, width in zip(grids[::-1], self.widths[::-1], strict=True):
      x = Unit(width)(upsample(x, grid))
    return [Conv(channels, (1,) * (x.ndim - 2))(x)]


class Student(nn.Module):
  """Bottleneck and decoder of reverse distillation (Deng and Li 2022).

  The maps of all levels are brought to the coarsest grid by convolutions that halve it,
  joined, and halved once more; from this embedding the decoder predicts the maps, from
  coarse to fine.

  Attributes:
    widths: Channels of the embedding's levels and of the decoder, from fine to coarse.
  """

  widths: Sequence[int]

  @nn.compact
  def __call__(self, maps: Sequence[Array]) -> list[Array]:
    """Maps the feature maps of a teacher to predictions of the same shapes."""
    brought = []
    for level, x in enumerate(maps):
      for width in self.widths[level + 1 :]:
        x = Unit(width, 2)(x)
      brought.append(x)
    x = Unit(self.widths[-1], 2)(jnp.concatenate(brought, -1))
    predictions = []
    for target, width in zip(maps[::-1], self.widths[::-1], strict=True):
      x = Unit(width)(upsample(x, target.shape[1:-1]))
      x = x + Unit(width)(x)
      predictions.append(Conv(target.shape[-1], (1,) * (x.ndim - 2))(x))
    return predictions[::-1]


def apart(grid: Sequence[int], neighbours: int) -> np.ndarray:
  """Returns which places of a grid are no neighbours, bool [L, L].

  Two places are neighbours if they differ by at most neighbours // 2 along each axis; a
  place is its own neighbour, unless `neighbours` is 0.

  Args:
    grid: Sizes; L is their product, in C order.
    neighbours: Edge length of the neighbourhood, odd, or 0 for none.

  Raises:
    ValueError: All places are neighbours of some place.

  Examples:
    >>> apart((3,), 1).astype(int).tolist()
    [[0, 1, 1], [1, 0, 1], [1, 1, 0]]
  """
  places = np.stack(np.indices(grid), -1).reshape(-1, len(grid))
  distance = np.abs(places[:, None] - places[None]).max(-1)
  seen = distance > neighbours // 2 if neighbours else distance >= 0
  if not seen.any(1).all():
    raise ValueError(
      f'feature_transformer: neighbours is {neighbours} on a grid of {tuple(grid)} '
      'places; allowed is a neighbourhood that some place lies outside of'
    )
  return seen


class MaskedTransformer(nn.Module):
  """Transformer that predicts each token from those far from it (You et al. 2022).

  The encoder attends to the tokens that are no neighbours; each layer of the decoder
  has its own learnt query for each place, which attends to the encoder's output and
  then to the output of the layer before.

  Attributes:
    width: Channels, a multiple of `heads`.
    depth: Layers of the encoder and of the decoder.
    heads: Attention heads.
    neighbours: Edge length of the neighbourhood that is hidden, see `apart`.
  """

  width: int
  depth: int
  heads: int
  neighbours: int

  @nn.compact
  def __call__(self, maps: Sequence[Array]) -> list[Array]:
    """Maps one map of features [B, *s, K] to its prediction of the same shape."""
    (x,) = maps
    number, *grid, channels = x.shape
    tokens = x.reshape(number, -1, channels)
    length = tokens.shape[1]
    seen = jnp.asarray(apart(grid, self.neighbours))[None, None]
    place = nn.initializers.normal(0.02)

    def attend(query: Array, memory: Array) -> Array:
      mixed = nn.MultiHeadDotProductAttention(self.heads)(query, memory, mask=seen)
      return nn.LayerNorm()(query + mixed)

    def perceptron(y: Array) -> Array:
      return nn.LayerNorm()(
        y + nn.Dense(self.width)(nn.relu(nn.Dense(4 * self.width)(y)))
      )

    position = self.param('position', place, (length, self.width))[None]
    y = nn.Dense(self.width, name='enter')(tokens) + position
    for _ in range(self.depth):
      y = perceptron(attend(y, y))
    encoded = output = y
    for layer in range(self.depth):
      query = self.param(f'query{layer}', place, (length, self.width))[None]
      query = jnp.tile(query, (number, 1, 1)) + position
      output = perceptron(attend(attend(query, encoded), output))
    return [nn.Dense(channels, name='leave')(output).reshape(x.shape)]
