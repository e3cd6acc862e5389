"""The blocks of convolutional auto-encoders: a convolution, normalised and activated.

Every block returns (activated, raw): the raw convolution, before normalisation and
activation, is what a deformer reads.
"""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from uad_jax.nets.layers.batch_norm import BatchNorm
from uad_jax.nets.layers.conv_kernels import conv, conv_transpose, upsample_conv

Array = jax.Array

RESAMPLE = {
  'same': conv,
  'down': lambda x, kernel: conv(x, kernel, stride=2),
  'up': upsample_conv,
  'transpose': conv_transpose,
}


class Conv(nn.Module):
  """A convolution with bias; both start uniform in +-1/sqrt(fan in), PyTorch's default.

  Attributes:
    features: Output channels.
    resample: 'same'; 'down' halves the shape by a stride; 'up' doubles it bilinearly
      before the convolution; 'transpose' doubles it by a transposed convolution.
    size: Edge length of the kernel.
    kernel_init: Another start of the kernel; the bias then starts at zero.
  """

  features: int
  resample: str = 'same'
  size: int = 3
  kernel_init: Callable | None = None

  @nn.compact
  def __call__(self, x: Array) -> Array:
    dims = x.ndim - 2
    shape = ((self.size,) * dims) + (x.shape[-1], self.features)
    # PyTorch counts the fan in of a transposed convolution over its outputs.
    channels = self.features if self.resample == 'transpose' else x.shape[-1]
    bound = (self.size**dims * channels) ** -0.5

    def uniform(key, shape):
      return jax.random.uniform(key, shape, jnp.float32, -bound, bound)

    bias_init = nn.initializers.zeros if self.kernel_init else uniform
    kernel = self.param('kernel', self.kernel_init or uniform, shape)
    bias = self.param('bias', bias_init, (self.features,))
    return RESAMPLE[self.resample](x, kernel) + bias.reshape((1,) * (dims + 1) + (-1,))


class Block(nn.Module):
  """Convolution, batch normalisation, swish; returns (activated, raw convolution)."""

  features: int
  resample: str = 'same'

  @nn.compact
  def __call__(self, x: Array, weight: Array, train: bool) -> tuple[Array, Array]:
    raw = Conv(self.features, self.resample, name='conv')(x)
    return nn.silu(BatchNorm(name='norm')(raw, weight, train)), raw
