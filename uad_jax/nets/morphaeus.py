"""Networks of the deformable auto-encoder MorphAEus (Bercea et al. 2023), 2-D and 3-D.

Encoder and decoder also return the raw outputs of their convolutions, before
normalisation and activation; the deformer predicts the velocity field from these.
"""

from collections.abc import Callable, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from uad_jax.nets.layers.batch_norm import BatchNorm
from uad_jax.nets.layers.conv_doubling import conv_transpose, upsample_conv
from uad_jax.nets.layers.conv_kernels import conv

Array = jax.Array

RESAMPLE = {
  'same': conv,
  'down': lambda x, kernel: conv(x, kernel, stride=2),
  'up': upsample_conv,
  'transpose': conv_transpose,
}
"""Convolutions (x, kernel) -> y, by the change of the grid; see `Conv.resample`."""


class Conv(nn.Module):
  """Convolution layer that is initialised as in PyTorch, with optional resampling.

  Kernel and bias start uniform in +-1 / sqrt(fan in).

  Attributes:
    features: Output channels.
    resample: 'same' keeps the grid; 'down' halves it by a stride; 'up' doubles it by
      linear interpolation before the convolution; 'transpose' doubles it by a
      transposed convolution.
    size: Edge length of the kernel.
    kernel_init: Another initialiser of the kernel; the bias then starts at zero.
  """

  features: int
  resample: str = 'same'
  size: int = 3
  kernel_init: Callable | None = None

  @nn.compact
  def __call__(self, x: Array) -> Array:
    """Maps features [B, *S, C] to [B, *S', features]; S' is S, S / 2 or 2 S."""
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
  """Block of a convolution, batch normalisation and swish activation.

  Attributes:
    features: Output channels.
    resample: Change of the grid, see `Conv.resample`.
  """

  features: int
  resample: str = 'same'

  @nn.compact
  def __call__(self, x: Array, weight: Array, train: bool) -> tuple[Array, Array]:
    """Maps features to the activated features and the raw output of the convolution.

    Args:
      x: [B, *S, C].
      weight: [B], 0 marks padding, which the normalisation leaves out.
      train: Normalises by the batch's statistics instead of the running averages.

    Returns:
      Activated and raw features, each [B, *S', features].
    """
    raw = Conv(self.features, self.resample, name='conv')(x)
    return nn.silu(BatchNorm(name='norm')(raw, weight, train)), raw


class Encoder(nn.Module):
  """Convolutional encoder of MorphAEus that maps an image to coarse latent maps.

  Each block has a 3 x 3 (x 3) convolution with stride 2.

  Attributes:
    widths: Channels after each halving of the grid.
  """

  widths: Sequence[int] = (16, 32, 64, 128, 256, 256, 256)

  @nn.compact
  def __call__(
    self, x: Array, weight: Array, train: bool
  ) -> tuple[Array, tuple[Array, ...]]:
    """Encodes images.

    Args:
      x: [B, *S, C].
      weight: [B], 0 marks padding.
      train: Normalises by the batch's statistics.

    Returns:
      Latent maps [B, *S / 2^levels, widths[-1]], and the raw output of the convolution
      of each level, finest first.
    """
    raws = []
    for i, width in enumerate(self.widths):
      x, raw = Block(width, 'down', name=f'level{i}')(x, weight, train)
      raws.append(raw)
    return x, tuple(raws)


class Decoder(nn.Module):
  """Decoder of MorphAEus, which maps encoder features to an image in [0, 1].

  Linear doubling of the grid and convolution blocks, a sigmoid at the end, no skip
  connections.

  Attributes:
    channels: Contrasts of the images.
    widths: Encoder widths, finest first; level i decodes to the grid of S / 2^i.
  """

  channels: int = 1
  widths: Sequence[int] = (16, 32, 64, 128, 256, 256, 256)

  @nn.compact
  def __call__(
    self, z: Array, weight: Array, train: bool
  ) -> tuple[Array, tuple[Array, ...]]:
    """Decodes latent maps to prior images.

    Args:
      z: [B, *S / 2^levels, widths[-1]].
      weight: [B], 0 marks padding.
      train: Normalises by the batch's statistics.

    Returns:
      Prior images [B, *S, C] in [0, 1], and the raw output of the convolution of each
      level, finest first: output i + 1 has the grid of the encoder's output i.
    """
    raws = []
    for i, width in reversed(list(enumerate(self.widths))):
      z, raw = Block(width, 'up', name=f'level{i}')(z, weight, train)
      raws.append(raw)
    image = nn.sigmoid(Conv(self.channels, size=1, name='head')(z))
    return image, tuple(reversed(raws))


class Deformer(nn.Module):
  """Network of MorphAEus that predicts a velocity field from auto-encoder features.

  It works from the coarsest grid to the finest: on each grid it concatenates the
  features of encoder and decoder and its own result from the coarser grid, and a
  transposed convolution doubles the resolution. The last convolution starts near zero
  (normal, 1e-5), so that training starts at the identity.

  Attributes:
    features: Channels of each level.
    taps: Number of grids whose features are used, from half the resolution down.
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
    """Predicts the velocity field [B, *S, d], in voxels.

    Args:
      encoded: Raw features of the encoder, [B, *S / 2^(i + 1), K] at i.
      decoded: Raw features of the decoder, [B, *S / 2^i, K] at i.
      weight: [B], 0 marks padding.
      train: Normalises by the batch's statistics.
    """
    dims = encoded[0].ndim - 2
    x = ()
    for i in reversed(range(self.taps)):
      parts = jnp.concatenate((encoded[i], decoded[i + 1], *x), -1)
      x = (
        Block(self.features, 'transpose', name=f'level{i}')(parts, weight, train)[0],
      )
    head = Conv(dims, kernel_init=nn.initializers.normal(1e-5), name='velocity')
    return head(x[0])
