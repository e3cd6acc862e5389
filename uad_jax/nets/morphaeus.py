"""The networks of the deformable auto-encoder (Bercea et al. 2023, MorphAEus).

A block returns (activated, raw): the raw convolution, before normalisation and
activation, is what the deformer reads.
"""

from collections.abc import Callable, Sequence

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


class Encoder(nn.Module):
  """Strided 3^d blocks: [B, *S, C] -> latent [B, *(S / 2^n), widths[-1]], raw outputs.

  The raw convolutions are returned finest first, by level of resolution.
  """

  widths: Sequence[int] = (16, 32, 64, 128, 256, 256, 256)

  @nn.compact
  def __call__(
    self, x: Array, weight: Array, train: bool
  ) -> tuple[Array, tuple[Array, ...]]:
    raws = []
    for i, width in enumerate(self.widths):
      x, raw = Block(width, 'down', name=f'level{i}')(x, weight, train)
      raws.append(raw)
    return x, tuple(raws)


class Decoder(nn.Module):
  """Bilinear doubling and 3^d blocks, then a 1^d convolution and a sigmoid; no skips.

  Level i makes the grid that has been halved i times; the raw convolutions are returned
  finest first, so that `raws[i + 1]` lies on the grid of the encoder's `raws[i]`.
  """

  channels: int = 1
  widths: Sequence[int] = (16, 32, 64, 128, 256, 256, 256)

  @nn.compact
  def __call__(
    self, z: Array, weight: Array, train: bool
  ) -> tuple[Array, tuple[Array, ...]]:
    raws = []
    for i, width in reversed(list(enumerate(self.widths))):
      z, raw = Block(width, 'up', name=f'level{i}')(z, weight, train)
      raws.append(raw)
    image = nn.sigmoid(Conv(self.channels, size=1, name='head')(z))
    return image, tuple(reversed(raws))


class Deformer(nn.Module):
  """A velocity field [B, *S, d] from the raw convolutions of encoder and decoder.

  From the coarsest of `taps` grids to the finest, the two networks' features and what
  came before are concatenated and doubled by a transposed convolution. The last 3^d
  convolution starts near zero (normal, 1e-5), so that training starts at the identity.
  """

  features: int = 32
  taps: int = 3

  @nn.compact
  def __call__(
    self,
    encoded: Sequence[Array],
    decoded: Sequence[Array],
    weight: Array,
    train: bool,
  ) -> Array:
    dims = encoded[0].ndim - 2
    x = ()
    for i in reversed(range(self.taps)):
      parts = jnp.concatenate((encoded[i], decoded[i + 1], *x), -1)
      x = (
        Block(self.features, 'transpose', name=f'level{i}')(parts, weight, train)[0],
      )
    head = Conv(dims, kernel_init=nn.initializers.normal(1e-5), name='velocity')
    return head(x[0])
