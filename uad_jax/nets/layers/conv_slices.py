"""Convolutions of volumes as convolutions of their slices, which are fast on CPU.

On CPU, XLA convolves volumes at 10 GFLOP a second and slices at 60 (docs/findings.md).
A 3-D kernel is a 2-D kernel k_a for each tap a of the first axis:

  (x * k)[i] = sum over a of x[s i + a - low] * k_a

for the stride s and the padding `low` of that axis. With a stride of 1 all k_a are
applied to each slice at once, and the results are added with a shift; likewise for the
derivative with respect to the image.

`convolve` and `image_derivative` do so for volumes on CPU, and call XLA for all else.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from uad_jax.nets.layers import conv_derivatives
from uad_jax.nets.layers.conv_derivatives import dimension_numbers

Array = jax.Array
Padding = str | Sequence[tuple[int, int]]


def convolve(
  x: Array, kernel: Array, strides: Sequence[int], padding: Padding, **rest
) -> Array:
  """Computes a convolution, equal to `jax.lax.conv_general_dilated`.

  Args:
    x: [B, *S, C].
    kernel: [*K, C, W].
    strides: Stride of each spatial axis.
    padding: 'SAME', 'VALID' or pairs of numbers of voxels.
    **rest: Further arguments of `jax.lax.conv_general_dilated`, without dilation and
      groups.

  Returns:
    [B, *S / strides, W].

  Examples:
    >>> x, kernel = jnp.ones((1, 4, 4, 4, 1)), jnp.ones((3, 3, 3, 1, 1))
    >>> y = convolve(x, kernel, (1, 1, 1), 'SAME')
    >>> [int(y[0, i, i, i, 0]) for i in range(4)]
    [8, 27, 27, 8]
  """
  if not _by_slices(kernel):
    rest.setdefault('dimension_numbers', dimension_numbers(x.ndim - 2))
    return jax.lax.conv_general_dilated(x, kernel, strides, padding, **rest)
  (low, high), *inside = _pairs(x.shape[1:-1], kernel.shape[:-2], strides, padding)
  taps, width = kernel.shape[0], kernel.shape[-1]
  stride, depth = strides[0], x.shape[1]
  count = (depth + low + high - taps) // stride + 1

  def of_slices(x, kernel):
    y = x.reshape(-1, *x.shape[2:])
    y = convolve(y, kernel, strides[1:], inside)
    return y.reshape(*x.shape[:2], *y.shape[1:])

  if stride == 1:
    y = of_slices(x, jnp.concatenate([*kernel], -1))
    y = y.reshape(*y.shape[:-1], taps, width)
    shifts = [low - tap for tap in range(taps)]
    return sum(
      _placed(y[..., tap, :], shift, count - depth - shift)
      for tap, shift in enumerate(shifts)
    )
  x = _placed(x, low, high)
  last = (count - 1) * stride + 1
  return sum(
    of_slices(x[:, tap : tap + last : stride], kernel[tap]) for tap in range(taps)
  )


def image_derivative(
  kernel: Array, g: Array, grid: Sequence[int], strides: Sequence[int], padding: Padding
) -> Array:
  """Computes the derivative of <g, x * k> with respect to the image x.

  Arguments and result are those of `conv_derivatives.image_derivative`.
  """
  if not _by_slices(kernel):
    return conv_derivatives.image_derivative(kernel, g, grid, strides, padding)
  (low, _), *inside = _pairs(grid, kernel.shape[:-2], strides, padding)
  taps, channels = kernel.shape[0], kernel.shape[-2]
  stride, last = strides[0], (g.shape[1] - 1) * strides[0]
  x = conv_derivatives.image_derivative(
    jnp.concatenate([*kernel], -2),
    g.reshape(-1, *g.shape[2:]),
    grid[1:],
    strides[1:],
    inside,
  )
  x = x.reshape(*g.shape[:2], *x.shape[1:-1], taps, channels)
  starts = [tap - low for tap in range(taps)]
  return sum(
    _placed(x[..., tap, :], start, grid[0] - 1 - last - start, stride)
    for tap, start in enumerate(starts)
  )


def _by_slices(kernel: Array) -> bool:
  """Returns whether the way by slices is the faster one."""
  volumes = kernel.ndim == 5 and kernel.shape[0] > 1
  return volumes and jax.default_backend() == 'cpu'


def _pairs(
  grid: Sequence[int], edges: Sequence[int], strides: Sequence[int], padding: Padding
) -> list[tuple[int, int]]:
  """The padding of each axis as a pair of numbers of voxels."""
  if isinstance(padding, str):
    return jax.lax.padtype_to_pads(grid, edges, strides, padding)
  return [*padding]


def _placed(x: Array, before: int, after: int, stride: int = 1) -> Array:
  """Pads the first spatial axis by zeros, or cuts it where a number is negative.

  Args:
    x: [B, D, ...].
    before: Slices before the first.
    after: Slices after the last.
    stride: Distance between the slices of x in the result.
  """
  rest = [(0, 0, 0)] * (x.ndim - 2)
  axes = [(0, 0, 0), (before, after, stride - 1), *rest]
  return jax.lax.pad(x, jnp.zeros((), x.dtype), axes)
