"""Layer that normalises features over the spatial axes of each example and channel."""

import math

import flax.linen as nn
import jax


class GridNorm(nn.Module):
  """Layer that normalises each channel of each example over the spatial axes.

  Scale and bias have a value for each voxel, shared by the channels.

  Attributes:
    epsilon: Constant added to the variance.
  """

  epsilon: float = 1e-3

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Normalises features [B, *S, C].

    Raises:
      ValueError: The grid is a single voxel, for which the result would be 0.
    """
    if math.prod(x.shape[1:-1]) == 1:
      raise ValueError(
        f'the grid {x.shape[1:-1]} of one voxel cannot be normalised; give fewer widths'
      )
    axes = tuple(range(1, x.ndim - 1))
    scale = self.param('scale', nn.initializers.ones, (1, *x.shape[1:-1], 1))
    bias = self.param('bias', nn.initializers.zeros, (1, *x.shape[1:-1], 1))
    x = x - x.mean(axes, keepdims=True)
    variance = (x**2).mean(axes, keepdims=True)
    return x * jax.lax.rsqrt(variance + self.epsilon) * scale + bias
