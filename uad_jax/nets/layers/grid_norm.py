"""Layer normalisation over the grid, as critics and residual coders use it."""

import math

import flax.linen as nn
import jax


class GridNorm(nn.Module):
  """Layer normalisation over the grid: each channel of each example by itself.

  Its scale and bias have a value for each voxel and are shared by the channels, as
  those of a layer normalisation over the spatial axes are.
  """

  epsilon: float = 1e-3

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """[B, *S, C] to the same; a grid of one voxel is refused, as it would give 0."""
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
