"""Convolution layer equal to `flax.linen.Conv`, with derivatives that are fast on CPU.

A convolution of edge 1 is computed as a matrix product, and so is its derivative: XLA's
derivative, a convolution by a kernel of the image's size, took ten times as long for
one output channel.

For strides above 1 the derivatives of any order are written as ordinary convolutions. A
gradient penalty differentiates a critic twice; on CPU, XLA takes forty times as long
for the second derivative with respect to the kernel in jax's form (a convolution of a
dilated image by a kernel of the image's size) as for the same numbers in the form of
the first derivative. The trilinear form <g, x * k> has three derivatives: the
convolution x * k, the derivative with respect to the image and the one with respect to
the kernel. Each of them has the two others as its derivatives, so these three suffice.
The derivative with respect to the image is a transposed convolution; where an even grid
is halved with 4 or 5 taps, it is computed on the coarse grid.
"""

import functools
from collections.abc import Callable, Sequence

import flax.linen as nn
import jax

from uad_jax.nets.layers.conv_transpose import reversed_kernel, transposed_conv

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
  forward = functools.partial(
    jax.lax.conv_general_dilated, window_strides=strides, padding=padding, **rest
  )
  edges = set(kernel.shape[:-2])
  if set(strides) == {1}:
    pointwise = edges == {1} and padding == 'SAME'
    return x @ kernel.reshape(kernel.shape[-2:]) if pointwise else forward(x, kernel)
  even = set(strides) == {2} and not any(n % 2 for n in x.shape[1:-1])
  doubles = even and padding == 'SAME' and edges in ({4}, {5})

  def image_cotangent(kernel, g):
    if doubles:
      return transposed_conv(g, reversed_kernel(kernel))
    return jax.linear_transpose(lambda x: forward(x, kernel), x)(g)[0]

  def kernel_cotangent(x, g):
    return jax.linear_transpose(lambda kernel: forward(x, kernel), kernel)(g)[0]

  return _with_derivatives(forward, image_cotangent, kernel_cotangent)(x, kernel)


class Conv(nn.Conv):
  """Convolution layer equal to `flax.linen.Conv`, with derivatives fast on CPU."""

  conv_general_dilated: Callable[..., Array] = conv_general


def _with_derivatives(forward, image_cotangent, kernel_cotangent):
  """Joins three functions, of which each has the two others as its derivatives.

  Args:
    forward: (x, k) -> x * k.
    image_cotangent: (k, g) -> derivative of <g, x * k> with respect to x.
    kernel_cotangent: (x, g) -> derivative of <g, x * k> with respect to k.

  Returns:
    `forward` with these derivatives of any order.
  """
  convolve = jax.custom_vjp(lambda x, k: forward(x, k))
  to_image = jax.custom_vjp(lambda k, g: image_cotangent(k, g))
  to_kernel = jax.custom_vjp(lambda x, g: kernel_cotangent(x, g))
  convolve.defvjp(
    lambda x, k: (convolve(x, k), (x, k)),
    lambda saved, g: (to_image(saved[1], g), to_kernel(saved[0], g)),
  )
  to_image.defvjp(
    lambda k, g: (to_image(k, g), (k, g)),
    lambda saved, x: (to_kernel(x, saved[1]), convolve(x, saved[0])),
  )
  to_kernel.defvjp(
    lambda x, g: (to_kernel(x, g), (x, g)),
    lambda saved, k: (to_image(k, saved[1]), convolve(saved[0], k)),
  )
  return convolve
