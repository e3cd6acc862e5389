"""A convolution whose derivatives of any order are ordinary convolutions again.

A gradient penalty differentiates a critic twice. XLA's CPU takes forty times as long
for the kernel's derivative of a strided convolution's derivative, as jax writes it (a
convolution of a dilated image by a kernel of an image's size), as for the same numbers
as the plain derivative of a kernel. The three products of the trilinear form
<g, x * k> are each other's derivatives, and only they are ever asked for here.
"""

import functools
from collections.abc import Sequence

import jax

Array = jax.Array


def conv(
  x: Array, kernel: Array, strides: Sequence[int], padding, *, dimension_numbers, **_
) -> Array:
  """`jax.lax.conv_general_dilated` without dilation, groups or a chosen precision.

  As `conv_general_dilated` of a `flax.linen.Conv` without these.
  """
  forward = functools.partial(
    jax.lax.conv_general_dilated,
    window_strides=strides,
    padding=padding,
    dimension_numbers=dimension_numbers,
  )

  def of_image(kernel, g):
    return jax.linear_transpose(lambda x: forward(x, kernel), x)(g)[0]

  def of_kernel(x, g):
    return jax.linear_transpose(lambda kernel: forward(x, kernel), kernel)(g)[0]

  return _closed(forward, of_image, of_kernel)(x, kernel)


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
