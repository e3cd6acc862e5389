"""Functions that convolve an image in the way that is fastest on CPU.

Images [B, *S, C], kernels [*K, Cin, Cout], 2-D and 3-D. A convolution is computed as
one matrix product with all patches, with the channels first (`conv_narrow`) or by XLA,
whichever is fastest for its sizes. With few output channels the derivative is written
out as two matrix products with the shifted cotangents: XLA's convolutions for it were
several times slower.
"""

import functools
import itertools
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from uad_jax.nets.layers import conv_narrow
from uad_jax.nets.layers.conv_derivatives import with_derivatives
from uad_jax.nets.layers.conv_slices import convolve, image_derivative

Array = jax.Array

NARROW = 4
"""Number of channels up to which shifted copies are cheaper than XLA's convolution."""

SMALL_GRID = 64
"""Number of voxels up to which patches are extracted and kernels are not composed.

On such a grid the kernels are larger than the images.
"""


def conv(x: Array, kernel: Array, stride: int = 1) -> Array:
  """Convolves a zero-padded image with a kernel, in the way that is fastest on CPU.

  The padding on each side is half of the kernel's edge, rounded down. With a stride of
  2 the output voxel i is centred at input voxel 2 i, as in PyTorch (XLA's 'SAME' would
  centre it at 2 i + 1).

  Args:
    x: [B, *S, Cin].
    kernel: [*K, Cin, Cout], all edges equal and odd.
    stride: Stride along all axes.

  Returns:
    [B, *S / stride, Cout], where S / stride is rounded up.
  """
  dims = x.ndim - 2
  voxels = math.prod(x.shape[1:-1]) // stride**dims
  if x.shape[-1] <= NARROW or voxels <= SMALL_GRID:
    return _patch_conv(x, kernel, stride)
  if stride == 1 and conv_narrow.suits(kernel):
    return conv_narrow.conv(x, kernel)
  if stride == 1 and kernel.shape[0] == 3 and kernel.shape[-1] <= NARROW:
    return _narrow_conv(x, kernel)
  half = kernel.shape[0] // 2
  return plain_conv(x, kernel, stride, [(half, half)] * dims)


def plain_conv(
  x: Array, kernel: Array, stride: int, padding: str | Sequence[tuple[int, int]]
) -> Array:
  """Convolves an image by XLA, with one stride on all axes and fast derivatives.

  Args:
    x: [B, *S, Cin].
    kernel: [*K, Cin, Cout].
    stride: Stride along all axes.
    padding: 'SAME', 'VALID' or a pair of numbers of voxels for each axis.
  """
  grid, dims = x.shape[1:-1], x.ndim - 2
  strides = (stride,) * dims
  forward = functools.partial(convolve, strides=strides, padding=padding)
  return with_derivatives(
    forward, lambda kernel, g: image_derivative(kernel, g, grid, strides, padding)
  )(x, kernel)


def _patch_conv(x: Array, kernel: Array, stride: int) -> Array:
  """Convolves by one matrix product with all patches, if few or of few channels."""
  dims, size = x.ndim - 2, kernel.shape[0]
  half = (size - 1) // 2
  shape = [(n - 1) // stride + 1 for n in x.shape[1:-1]]
  x = jnp.pad(x, [(0, 0), *[(half, half)] * dims, (0, 0)])
  patches = [
    x[(slice(None), *(_every(k, n, stride) for k, n in zip(tap, shape, strict=True)))]
    for tap in itertools.product(range(size), repeat=dims)
  ]
  return jnp.concatenate(patches, -1) @ kernel.reshape(-1, kernel.shape[-1])


def _every(start: int, count: int, step: int) -> slice:
  """Makes a slice of `count` elements from `start` on, `step` apart."""
  return slice(start, start + (count - 1) * step + 1, step)


@jax.custom_vjp
def _narrow_conv(x: Array, kernel: Array) -> Array:
  """Convolves by a 3^d kernel with few output channels; see `_narrow_conv_vjp`."""
  return plain_conv(x, kernel, 1, [(1, 1)] * (x.ndim - 2))


def _narrow_conv_vjp(saved, g):
  """Computes the cotangents of image and kernel by shifts of the output cotangent."""
  x, kernel = saved
  dims = x.ndim - 2
  g = jnp.pad(g, [(0, 0), *[(1, 1)] * dims, (0, 0)])
  taps = [
    g[
      (
        slice(None),
        *(slice(2 - k, 2 - k + n) for k, n in zip(tap, x.shape[1:-1], strict=True)),
      )
    ]
    for tap in itertools.product(range(3), repeat=dims)
  ]
  return vjp_by_taps(x, kernel, taps)


_narrow_conv.defvjp(lambda x, k: (_narrow_conv(x, k), (x, k)), _narrow_conv_vjp)


def vjp_by_taps(x: Array, kernel: Array, taps: list[Array]) -> tuple[Array, Array]:
  """Computes the gradients of a convolution with respect to its image and its kernel.

  The gradients (cotangents) are two matrix products, with the cotangent of the output
  shifted for each tap.

  Args:
    x: Input [B, *S, Cin].
    kernel: [*K, Cin, Cout].
    taps: For each tap of the kernel, in order, the cotangent [B, *S, Cout] of the
      output voxel to which the input voxel contributes by that tap.

  Returns:
    Cotangents of x [B, *S, Cin] and of the kernel [*K, Cin, Cout].
  """
  features_in, features_out = kernel.shape[-2:]
  g = jnp.concatenate(taps, -1).reshape(-1, len(taps) * features_out)
  flat = kernel.reshape(-1, features_in, features_out)
  x_bar = g @ flat.transpose(0, 2, 1).reshape(-1, features_in)
  kernel_bar = (x.reshape(-1, features_in).T @ g).reshape(features_in, len(taps), -1)
  return x_bar.reshape(x.shape), kernel_bar.transpose(1, 0, 2).reshape(kernel.shape)
