"""Batch normalisation layer that leaves padding examples out of its statistics."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp

Array = jax.Array


class BatchNorm(nn.Module):
  """Batch normalisation layer that leaves padding examples out of its statistics.

  Padding examples fill up an incomplete batch. After Ioffe and Szegedy 2015. The
  running averages are in the collection 'batch_stats' ('mean', 'var', as in flax); a
  training step with fewer than two voxels does not change them.

  Attributes:
    momentum: Share of the running averages that a training step keeps.
    epsilon: Constant added to the variance.
  """

  momentum: float = 0.9
  epsilon: float = 1e-5

  @nn.compact
  def __call__(self, x: Array, weight: Array, train: bool) -> Array:
    """Normalises each channel of features.

    Args:
      x: [B, *S, C].
      weight: [B], 0 marks padding.
      train: Normalises by the batch's statistics and moves the running averages; False
        normalises by the running averages.

    Returns:
      [B, *S, C].
    """
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
    return normalised(x, scale * jax.lax.rsqrt(var + self.epsilon), bias, mean)

  def by(self, x: Array, mean: Array, var: Array) -> Array:
    """Normalises features by given statistics, with the layer's scale and bias.

    Args:
      x: [B, *S, C].
      mean: [C].
      var: Variance [C].

    Returns:
      [B, *S, C].
    """
    scale, bias = (self.get_variable('params', name) for name in ('scale', 'bias'))
    return normalised(x, scale * jax.lax.rsqrt(var + self.epsilon), bias, mean)


def normalised(x: Array, gain: Array, bias: Array, mean: Array) -> Array:
  """Computes gain (x - mean) + bias for each channel of features.

  Args:
    x: [B, *S, C].
    gain: [C].
    bias: [C].
    mean: [C].

  Returns:
    [B, *S, C].
  """
  shape = (1,) * (x.ndim - 1) + (-1,)
  return x * gain.reshape(shape) + (bias - mean * gain).reshape(shape)


def moments(x: Array, weight: Array) -> tuple[Array, Array, Array]:
  """Computes mean and variance of each channel over a batch, without padding examples.

  Args:
    x: [B, *S, C].
    weight: [B], 1 for real examples and 0 for padding.

  Returns:
    Mean [C], variance [C] and the number of voxels.
  """
  count = weight.sum() * math.prod(x.shape[1:-1])
  mean = weight @ sums(x) / jnp.maximum(count, 1)
  square = weight @ sums(x * x) / jnp.maximum(count, 1)
  return mean, jnp.maximum(square - mean * mean, 0), count


def sums(x: Array) -> Array:
  """Sums the features of each example and channel over the spatial axes.

  From [B, *S, C] to [B, C]. Lines of the grid are added first, which a CPU vectorises.
  """
  lines = x.reshape(len(x), -1, x.shape[-2] * x.shape[-1]).sum(1)
  return lines.reshape(len(x), *x.shape[-2:]).sum(1)
