"""Derivatives of a convolution, of any order, in the forms that XLA is fast at on CPU.

The trilinear form <g, x * k> of an image x, a kernel k and a cotangent g has three
derivatives: the convolution x * k, the derivative with respect to the image and the one
with respect to the kernel. Each of them has the two others as its derivatives.

The derivative with respect to the image is written as a convolution of g by the flipped
kernel with its channels swapped. jax's own form leaves the kernel as it is and swaps
the names of its axes. XLA's CPU compiler brings such a convolution to the order of its
fast library, but in the outermost computation only: in the body of a loop, as in the
inner maximisation of `adapt.wrm`, it is computed value by value, 20 times slower.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

Array = jax.Array


def with_derivatives(
  forward: Callable[[Array, Array], Array],
  image_cotangent: Callable[[Array, Array], Array],
) -> Callable[[Array, Array], Array]:
  """Gives a convolution its derivatives of any order with respect to image and kernel.

  Args:
    forward: (x, k) -> x * k, from `jax.lax.conv_general_dilated`; also used to
      transpose it with respect to the kernel.
    image_cotangent: (k, g) -> derivative of <g, x * k> with respect to x.

  Returns:
    A function that computes the same as `forward`.
  """

  def joined(x, k):
    shape = jax.ShapeDtypeStruct(k.shape, k.dtype)

    def kernel_cotangent(x, g):
      return jax.linear_transpose(lambda k: forward(x, k), shape)(g)[0]

    return _joined(forward, image_cotangent, kernel_cotangent)(x, k)

  return joined


def _joined(forward, image_cotangent, kernel_cotangent):
  """Joins three functions, of which each has the two others as its derivatives.

  Args:
    forward: (x, k) -> x * k.
    image_cotangent: (k, g) -> derivative of <g, x * k> with respect to x.
    kernel_cotangent: (x, g) -> derivative of <g, x * k> with respect to k.
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


def image_derivative(
  kernel: Array,
  g: Array,
  grid: Sequence[int],
  strides: Sequence[int],
  padding: str | Sequence[tuple[int, int]],
) -> Array:
  """Computes the derivative of <g, x * k> with respect to the image x.

  Args:
    kernel: k [*K, C, W].
    g: Cotangent of the convolution's output [B, *S', W].
    grid: Spatial shape S of the image.
    strides: Stride of each spatial axis.
    padding: 'SAME', 'VALID' or pairs of numbers of voxels.

  Returns:
    [B, *S, C].

  Examples:
    >>> kernel, g = jnp.arange(3.0).reshape(3, 1, 1), jnp.ones((1, 4, 1))
    >>> image_derivative(kernel, g, (4,), (1,), 'SAME').ravel().tolist()
    [1.0, 3.0, 3.0, 3.0]
  """
  edges, outputs = kernel.shape[:-2], g.shape[1:-1]
  if isinstance(padding, str):
    padding = jax.lax.padtype_to_pads(grid, edges, strides, padding)
  transposed = [
    (edge - 1 - low, n - 1 - (m - 1) * stride + low)
    for n, m, edge, stride, (low, _) in zip(
      grid, outputs, edges, strides, padding, strict=True
    )
  ]
  return jax.lax.conv_general_dilated(
    g,
    reversed_kernel(kernel),
    (1,) * len(edges),
    transposed,
    lhs_dilation=strides,
    dimension_numbers=dimension_numbers(len(edges)),
  )


def reversed_kernel(kernel: Array) -> Array:
  """Flips the taps of a kernel and swaps its channel axes, to transpose a convolution.

  Args:
    kernel: [*K, C, W].

  Returns:
    [*K, W, C].
  """
  return jnp.swapaxes(jnp.flip(kernel, range(kernel.ndim - 2)), -1, -2)


def dimension_numbers(dims: int) -> tuple[str, str, str]:
  """Names the axes of image, kernel and output, channels last, for `jax.lax`.

  Args:
    dims: Number of spatial axes, 1 to 3.
  """
  space = 'XYZ'[:dims]
  return f'N{space}C', f'{space}IO', f'N{space}C'
