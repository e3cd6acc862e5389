"""Transposed convolution layer of stride 2 that is fast on CPU."""

import itertools

import flax.linen as nn
import jax
import jax.numpy as jnp

from uad_jax.nets.layers.conv_derivatives import reversed_kernel
from uad_jax.nets.layers.conv_doubling import interleave
from uad_jax.nets.layers.conv_kernels import conv, plain_conv

Array = jax.Array


@jax.custom_vjp
def transposed_conv(x: Array, kernel: Array) -> Array:
  """Computes the transposed convolution of an image with stride 2, without a bias.

  It equals that of `flax.linen.ConvTranspose`, but is computed on the coarse grid: the
  2^d fine voxels of a coarse voxel are channels of one convolution. Its derivative is
  the strided convolution that it transposes. XLA's derivative, of an image dilated with
  zeros, takes six to ten times as long on CPU.

  Args:
    x: [B, *S, C].
    kernel: [*K, C, W], all edges 4 or all 5.

  Returns:
    [B, *(2 S), W].

  Raises:
    ValueError: The edge of the kernel is neither 4 nor 5.
  """
  edge = kernel.shape[0]
  if edge not in (4, 5):
    raise ValueError(f'a transposed convolution has an edge of 4 or 5, not {edge}')
  return (_edge_five if edge == 5 else _edge_four)(x, kernel)


def _coarse_kernel(kernel: Array) -> Array:
  """Rearranges a kernel [*K, C, W] for the coarse image, [*(2 or 3), C, 2^d W].

  Along an axis the even fine voxel has the taps (0, 2) of 4 taps and (1, 3) of 5, the
  odd fine voxel has (1, 3) of 4 and (0, 2, 4) of 5.
  """
  d, (edge, *_, c, width) = kernel.ndim - 2, kernel.shape
  coarse, odd = (edge + 1) // 2, edge % 2
  taps = jnp.pad(kernel, [(0, odd)] * d + [(0, 0)] * 2)
  taps = taps.reshape((coarse, 2) * d + (c, width))
  phases = range(1, 2 * d, 2)
  taps = jnp.flip(taps, phases) if odd else taps
  taps = taps.transpose(*range(0, 2 * d, 2), 2 * d, *phases, 2 * d + 1)
  return taps.reshape((coarse,) * d + (c, 2**d * width))


def _edge_five(x: Array, kernel: Array) -> Array:
  """Convolves with 5 taps: the fine voxels of i see x[i - 1] to x[i + 1]."""
  y = conv(x, _coarse_kernel(kernel))
  return interleave(y.reshape(*x.shape[:-1], *(2,) * (x.ndim - 2), kernel.shape[-1]))


def _edge_four(x: Array, kernel: Array) -> Array:
  """Convolves with 4 taps: even voxels see x[i - 1] and x[i], odd x[i] and x[i + 1]."""
  d, grid = x.ndim - 2, x.shape[1:-1]
  # For i from 0 to n, all phases of the pair x[i - 1], x[i].
  pairs = plain_conv(x, _coarse_kernel(kernel), 1, [(1, 1)] * d)
  pairs = jnp.moveaxis(pairs.reshape(*pairs.shape[:-1], 2**d, -1), -2, 0)
  phases = itertools.product((0, 1), repeat=d)
  parts = [
    pair[(slice(None), *(slice(p, p + n) for p, n in zip(phase, grid, strict=True)))]
    for phase, pair in zip(phases, pairs, strict=True)
  ]
  return interleave(jnp.stack(parts, -2).reshape(*x.shape[:-1], *(2,) * d, -1))


def _strided(g: Array, kernel: Array) -> Array:
  """Convolves [B, *(2 S), W] to [B, *S, C]; `transposed_conv` is the transpose."""
  return plain_conv(g, reversed_kernel(kernel), 2, 'SAME')


def _vjp(saved, g):
  x, kernel = saved
  x_bar, transpose = jax.vjp(lambda k: _strided(g, k), kernel)
  return x_bar, *transpose(x)


transposed_conv.defvjp(lambda x, k: (transposed_conv(x, k), (x, k)), _vjp)


class ConvTranspose(nn.Module):
  """Transposed convolution layer of stride 2, equal to `flax.linen.ConvTranspose`.

  Attributes:
    width: Output channels.
    edge: Edge length of the kernel, 4 or 5.
  """

  width: int
  edge: int = 5

  @nn.compact
  def __call__(self, x: Array) -> Array:
    """Maps features [B, *S, C] to [B, *(2 S), width]."""
    d = x.ndim - 2
    shape = (self.edge,) * d + (x.shape[-1], self.width)
    kernel = self.param('kernel', nn.initializers.lecun_normal(), shape)
    bias = self.param('bias', nn.initializers.zeros, (self.width,))
    return transposed_conv(x, kernel) + bias.reshape((1,) * (d + 1) + (-1,))
