"""Convolution layer equal to `flax.linen.Conv`, with derivatives that are fast on CPU.

A convolution of edge 1 is computed as a matrix product, and so is its derivative: XLA's
derivative, a convolution by a kernel of the image's size, took ten times as long for
one output channel.

The derivatives of any order are written as ordinary convolutions. A gradient penalty
differentiates a critic twice; on CPU, XLA takes forty times as long for the second
derivative with respect to the kernel in jax's form (a convolution of a dilated image by
a kernel of the image's size) as for the same numbers in the form of the first
derivative (`conv_derivatives`). The derivative with respect to the image is a
transposed convolution; where an even grid is halved with 4 or 5 taps, it is computed on
the coarse grid. Volumes are convolved slice by slice (`conv_slices`).
"""

import functools
from collections.abc import Callable, Sequence

import flax.linen as nn
import jax

from uad_jax.nets.layers.conv_derivatives import reversed_kernel, with_derivatives
from uad_jax.nets.layers.conv_slices import convolve, image_derivative
from uad_jax.nets.layers.conv_transpose import transposed_conv

Array = jax.Array


def conv_general(
  x: Array, kernel: Array, strides: Sequence[int], padding, **rest
) -> Array:
  """Computes a convolution of an image, with derivatives that are fast on CPU.

  The result equals `jax.lax.conv_general_dilated`. It is the convolution function that
  `Conv` passes to `flax.linen.Conv`.

  Args:
    x: [B, *S, C].
    kernel: [*K, C, W].
    strides: Stride of each spatial axis.
    padding: 'SAME', 'VALID' or pairs of numbers of voxels.
    **rest: Further arguments as flax gives them; without dilation and groups.

  Returns:
    [B, *S / strides, W].
  """
  forward = functools.partial(convolve, strides=strides, padding=padding, **rest)
  edges = set(kernel.shape[:-2])
  if set(strides) == {1} and edges == {1} and padding == 'SAME':
    return x @ kernel.reshape(kernel.shape[-2:])
  even = set(strides) == {2} and not any(n % 2 for n in x.shape[1:-1])
  doubles = even and padding == 'SAME' and edges in ({4}, {5})
  grid = x.shape[1:-1]

  def image_cotangent(kernel, g):
    if doubles:
      return transposed_conv(g, reversed_kernel(kernel))
    return image_derivative(kernel, g, grid, strides, padding)

  return with_derivatives(forward, image_cotangent)(x, kernel)


class Conv(nn.Conv):
  """Convolution layer equal to `flax.linen.Conv`, with derivatives fast on CPU."""

  conv_general_dilated: Callable[..., Array] = conv_general
