"""`flax.linen.Conv` with derivatives that a CPU is fast at: the same numbers.

A kernel of 1^d is a product of matrices, also where its derivative is taken: as XLA's
convolution by a kernel of the image's size it took ten times as long for one output.

A stride has derivatives of any order that are ordinary convolutions again. A gradient
penalty differentiates a critic twice, and XLA's CPU takes forty times as long for the
kernel's derivative of the derivative, as jax writes it (a convolution of a dilated
image by a kernel of an image's size), as for the same numbers as the plain derivative
of a kernel. The three products of the trilinear form <g, x * k> are each other's
derivatives, and only they are ever asked for here. That of the image is a transposed
convolution, at the coarse grid where it halves an even one with 4 or 5 taps.
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
  """`jax.lax.conv_general_dilated` as a `flax.linen.Conv` calls it.

  [B, *S, C] and [*K, C, W] to [B, *S / strides, W], without dilation and groups.
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

  def of_image(kernel, g):
    if doubles:
      return transposed_conv(g, reversed_kernel(kernel))
    return jax.linear_transpose(lambda x: forward(x, kernel), x)(g)[0]

  def of_kernel(x, g):
    return jax.linear_transpose(lambda kernel: forward(x, kernel), kernel)(g)[0]

  return _closed(forward, of_image, of_kernel)(x, kernel)


class Conv(nn.Conv):
  """`flax.linen.Conv` by `conv_general`."""

  conv_general_dilated: Callable[..., Array] = conv_general


def _closed(forward, of_image, of_kernel):
  """`forward(x, k)` with `of_image(k, g)` and `of_kernel(x, g)` as its derivatives."""
  apply = jax.custom_vjp(lambda x, k: forward(x, k))
  back = jax.custom_vjp(lambda k, g: of_image(k, g))
  gather = jax.custom_vjp(lambda x, g: of_kernel(x, g))
  apply.defvjp(
    lambda x, k: (apply(x, k), (x, k)), lambda s, g: (back(s[1], g), gather(s[0], g))
  )
  back.defvjp(
    lambda k, g: (back(k, g), (k, g)), lambda s, x: (gather(x, s[1]), apply(x, s[0]))
  )
  gather.defvjp(
    lambda x, g: (gather(x, g), (x, g)), lambda s, k: (back(k, s[1]), apply(s[0], k))
  )
  return apply
