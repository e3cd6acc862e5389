"""Batch normalisation that leaves padded examples out."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp

Array = jax.Array


class BatchNorm(nn.Module):
  """Batch normalisation (Ioffe and Szegedy 2015) that leaves padded examples out.

  Running averages live in the collection 'batch_stats' ('mean', 'var', flax's names)
  with a momentum of 0.9; a step with fewer than two voxels leaves them as they are.
  """

  momentum: float = 0.9
  epsilon: float = 1e-5

  @nn.compact
  def __call__(self, x: Array, weight: Array, train: bool) -> Array:
    features = x.shape[-1]
    scale = self.param('scale', nn.initializers.ones, (features,))
    bias = self.param('bias', nn.initializers.zeros, (features,))
    mean_average = self.variable('batch_stats', 'mean', jnp.zeros, (features,))
    var_average = self.variable('batch_stats', 'var', jnp.ones, (features,))
    if train:
      mean, var, count = moments(x, weight)
      if not self.is_initializing():
        # The running variance is the unbiased one, which evaluation should expect.
        unbiased = var * count / jnp.maximum(count - 1, 1)
        for average, value in ((mean_average, mean), (var_average, unbiased)):
          moved = self.momentum * average.value + (1 - self.momentum) * value
          average.value = jnp.where(count > 1, moved, average.value)
    else:
      mean, var = mean_average.value, var_average.value
    gain = scale * jax.lax.rsqrt(var + self.epsilon)
    shape = (1,) * (x.ndim - 1) + (-1,)
    return x * gain.reshape(shape) + (bias - mean * gain).reshape(shape)


def moments(x: Array, weight: Array) -> tuple[Array, Array, Array]:
  """Mean and variance of each channel over the examples of weight 1, and their count.

  Args:
    x: [B, *S, C].
    weight: [B], 0 marks padding.
  """
  count = weight.sum() * math.prod(x.shape[1:-1])
  mean = weight @ sums(x) / jnp.maximum(count, 1)
  square = weight @ sums(x * x) / jnp.maximum(count, 1)
  return mean, jnp.maximum(square - mean * mean, 0), count


def sums(x: Array) -> Array:
  """The sums over each example, [B, C]; first along whole lines, which vectorises."""
  lines = x.reshape(len(x), -1, x.shape[-2] * x.shape[-1]).sum(1)
  return lines.reshape(len(x), *x.shape[-2:]).sum(1)
