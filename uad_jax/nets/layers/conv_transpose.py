"""A transposed convolution of stride 2, in convolutions that a CPU is fast at."""

import itertools

import flax.linen as nn
import jax
import jax.numpy as jnp

from uad_jax.nets.layers.conv_kernels import conv, interleave, plain_conv

Array = jax.Array


@jax.custom_vjp
def transposed_conv(x: Array, kernel: Array) -> Array:
  """That of `flax.linen.ConvTranspose` for edges of 4 or 5, without bias.

  x [B, *S, C] and a kernel [*K, C, W] to [B, *(2 S), W]. Forward it is computed at the
  coarse grid: the 2^d fine voxels of a coarse one are channels of one convolution. Back
  it is the strided convolution that it transposes. XLA's own derivative, by an image
  dilated with zeros, takes six to ten times as long on a CPU.
  """
  edge = kernel.shape[0]
  if edge not in (4, 5):
    raise ValueError(f'a transposed convolution has an edge of 4 or 5, not {edge}')
  return (_five if edge == 5 else _four)(x, kernel)


def _apart(kernel: Array) -> Array:
  """Taps [*K, C, W] as a kernel of the coarse image, [*(2 or 3), C, 2^d W].

  Along an axis the even fine voxel has the taps (0, 2) of four and (1, 3) of five, the
  odd one (1, 3) and (0, 2, 4).
  """
  d, (edge, *_, c, width) = kernel.ndim - 2, kernel.shape
  coarse, odd = (edge + 1) // 2, edge % 2
  taps = jnp.pad(kernel, [(0, odd)] * d + [(0, 0)] * 2)
  taps = taps.reshape((coarse, 2) * d + (c, width))
  phases = range(1, 2 * d, 2)
  taps = jnp.flip(taps, phases) if odd else taps
  taps = taps.transpose(*range(0, 2 * d, 2), 2 * d, *phases, 2 * d + 1)
  return taps.reshape((coarse,) * d + (c, 2**d * width))


def _five(x: Array, kernel: Array) -> Array:
  """Both fine voxels see x[i - 1] to x[i + 1]."""
  y = conv(x, _apart(kernel))
  return interleave(y.reshape(*x.shape[:-1], *(2,) * (x.ndim - 2), kernel.shape[-1]))


def _four(x: Array, kernel: Array) -> Array:
  """The even fine voxel sees x[i - 1] and x[i], the odd one x[i] and x[i + 1]."""
  d, grid = x.ndim - 2, x.shape[1:-1]
  pairs = plain_conv(x, _apart(kernel), 1, [(1, 1)] * d)  # of x[i - 1] and x[i], i to n
  pairs = jnp.moveaxis(pairs.reshape(*pairs.shape[:-1], 2**d, -1), -2, 0)
  phases = itertools.product((0, 1), repeat=d)
  parts = [
    seen[(slice(None), *(slice(p, p + n) for p, n in zip(phase, grid, strict=True)))]
    for phase, seen in zip(phases, pairs, strict=True)
  ]
  return interleave(jnp.stack(parts, -2).reshape(*x.shape[:-1], *(2,) * d, -1))


def reversed_kernel(kernel: Array) -> Array:
  """The kernel of the convolution's transpose: taps and channels the other way."""
  return jnp.swapaxes(jnp.flip(kernel, range(kernel.ndim - 2)), -1, -2)


def _strided(g: Array, kernel: Array) -> Array:
  """The convolution of [B, *(2 S), W] to [B, *S, C] whose transpose it is."""
  return plain_conv(g, reversed_kernel(kernel), 2, 'SAME')


def _vjp(saved, g):
  x, kernel = saved
  (kernel_bar,) = jax.linear_transpose(lambda k: _strided(g, k), kernel)(x)
  return _strided(g, kernel), kernel_bar


transposed_conv.defvjp(lambda x, k: (transposed_conv(x, k), (x, k)), _vjp)


class ConvTranspose(nn.Module):
  """`flax.linen.ConvTranspose` of stride 2, by `transposed_conv`."""

  width: int
  edge: int = 5

  @nn.compact
  def __call__(self, x: Array) -> Array:
    """[B, *S, C] to [B, *(2 S), width]."""
    d = x.ndim - 2
    shape = (self.edge,) * d + (x.shape[-1], self.width)
    kernel = self.param('kernel', nn.initializers.lecun_normal(), shape)
    bias = self.param('bias', nn.initializers.zeros, (self.width,))
    return transposed_conv(x, kernel) + bias.reshape((1,) * (d + 1) + (-1,))
