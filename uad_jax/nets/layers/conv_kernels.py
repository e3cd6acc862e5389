"""Convolutions of 2-D and 3-D images, [B, *S, C], kernels [*K, Cin, Cout].

The two that double the resolution are computed at the low one: each of the 2^d voxels
that a coarse voxel becomes is a small convolution of the coarse image, so that one
convolution with 2^d times the output channels and a rearrangement do all of them. The
kernels are composed on the fly from the ordinary one, and the result is the same.

Some derivatives are written out, as two matrix products with the cotangent gathered by
tap: XLA's own convolutions for them were several times slower on a CPU.
"""

import itertools
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from uad_jax.nets.layers import conv_narrow

Array = jax.Array

# Weight of tap k on the coarse neighbour n for the even and the odd fine voxel:
# [phase, neighbour, tap]. Bilinear doubling puts fine voxel 2i at i - 1/4 and 2i + 1 at
# i + 1/4.
UPSAMPLE_CONV = np.array(
  [
    [[0.75, 0.25, 0], [0.25, 0.75, 0.75], [0, 0, 0.25]],
    [[0.25, 0, 0], [0.75, 0.75, 0.25], [0, 0.25, 0.75]],
  ],
  'float32',
)
# What is to be added at the first and the last voxel of an axis, where the image is not
# continued by zeros but repeated, and the doubled one then ends: [phase, tap], by end.
UPSAMPLE_BORDER = {
  0: np.array([[-0.25, 0.25, 0], [0.25, 0, 0]], 'float32'),
  -1: np.array([[0, 0, 0.25], [0, 0.25, -0.25]], 'float32'),
}
TRANSPOSE = np.array([[[0, 1, 0], [0, 0, 0]], [[0, 0, 1], [1, 0, 0]]], 'float32')

# Up to so many output channels the cotangent is cheaper to shift than the input.
NARROW = 4
# Up to so many voxels the kernels are larger than the images: they are not composed,
# and the patches of the image are cheap.
SMALL_GRID = 64


def conv(x: Array, kernel: Array, stride: int = 1) -> Array:
  """Convolution, padded with zeros by half of the (odd) kernel on both sides.

  With a stride of 2 and an odd kernel the output voxel i is centred at input voxel 2 i
  (PyTorch's padding; XLA's 'SAME' would centre it at 2 i + 1).
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
  """`jax.lax.conv_general_dilated` of a grid whose axes are all treated alike."""
  dims = x.ndim - 2
  space = 'XYZ'[:dims]
  return jax.lax.conv_general_dilated(
    x,
    kernel,
    (stride,) * dims,
    padding,
    dimension_numbers=(f'N{space}C', f'{space}IO', f'N{space}C'),
  )


def upsample_conv(x: Array, kernel: Array) -> Array:
  """Bilinear (trilinear) doubling, then a 3^d convolution with zero padding.

  The doubling is that of `jax.image.resize` (half-pixel centres), not PyTorch's
  align_corners=True: it is local, so that the same weights apply everywhere.
  """
  if math.prod(x.shape[1:-1]) <= SMALL_GRID:
    shape = (x.shape[0], *(2 * n for n in x.shape[1:-1]), x.shape[-1])
    return conv(jax.image.resize(x, shape, 'linear'), kernel)
  return interleave(_upsample_phases(x, kernel, (True,) * (x.ndim - 2)))


def _upsample_phases(x: Array, kernel: Array, edges: tuple[bool, ...]) -> Array:
  """The phases of `upsample_conv`, [B, *S, *(2,) d, C].

  They are those of the image continued by zeros at the coarse grid, corrected on the
  faces of the axes with `edges`, where `resize` repeats the border and stops. The
  correction of a face is the same operation with one axis less.
  """
  dims = x.ndim - 2
  if not dims:
    return x @ kernel
  y = _phases(x, kernel, *((UPSAMPLE_CONV, (1, 1)),) * dims)
  for axis, end in itertools.product(range(dims), (0, -1)):
    if edges[axis]:
      # [other taps, in, out, phase] -> [other taps, in, out * phase]
      folded = jnp.tensordot(kernel, UPSAMPLE_BORDER[end], ((axis,), (1,)))
      folded = folded.reshape(*folded.shape[:-2], -1)
      # A voxel on two faces is corrected once: with the later axis only.
      others = (False,) * axis + edges[axis + 1 :]
      part = _upsample_phases(jnp.take(x, end, axis + 1), folded, others)
      part = jnp.moveaxis(part.reshape(*part.shape[:-1], -1, 2), -1, dims + axis)
      y = y.at[(slice(None),) * (axis + 1) + (end,)].add(part)
  return y


@jax.custom_vjp
def conv_transpose(x: Array, kernel: Array) -> Array:
  """The transposed 3^d convolution of stride 2 that doubles the shape.

  y[2 i + k - 1] += x[i] w[k] along each axis (PyTorch: padding 1, output padding 1; its
  kernel has the in and out axes first).
  """
  dims, shape = x.ndim - 2, x.shape
  even, odd = (TRANSPOSE[:1, :1], (0, 0)), (TRANSPOSE[1:], (0, 1))
  lines = []
  for first in (even, odd):  # a line of even voxels does not see its neighbour
    y = _phases(x, kernel, first, *((TRANSPOSE, (0, 1)),) * (dims - 1))
    y = interleave(y.reshape(-1, *shape[2:-1], *(2,) * (dims - 1), kernel.shape[-1]))
    lines.append(y.reshape(*shape[:2], *y.shape[1:]))
  return jnp.stack(lines, 2).reshape(shape[0], 2 * shape[1], *lines[0].shape[2:])


def _conv_transpose_vjp(saved, g):
  x, kernel = saved
  dims = x.ndim - 2
  g = jnp.pad(g, [(0, 0), *[(1, 0)] * dims, (0, 0)])
  taps = [
    g[
      (
        slice(None),
        *(slice(k, k + 2 * n - 1, 2) for k, n in zip(tap, x.shape[1:-1], strict=True)),
      )
    ]
    for tap in itertools.product(range(3), repeat=dims)
  ]
  return _vjp_by_taps(x, kernel, taps)


conv_transpose.defvjp(lambda x, k: (conv_transpose(x, k), (x, k)), _conv_transpose_vjp)


def _patch_conv(x: Array, kernel: Array, stride: int) -> Array:
  """One matrix product with all patches, which are few or have few channels."""
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
  return slice(start, start + (count - 1) * step + 1, step)


@jax.custom_vjp
def _narrow_conv(x: Array, kernel: Array) -> Array:
  return plain_conv(x, kernel, 1, [(1, 1)] * (x.ndim - 2))


def _narrow_conv_vjp(saved, g):
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
  return _vjp_by_taps(x, kernel, taps)


_narrow_conv.defvjp(lambda x, k: (_narrow_conv(x, k), (x, k)), _narrow_conv_vjp)


def _vjp_by_taps(x: Array, kernel: Array, taps: list[Array]) -> tuple[Array, Array]:
  """The cotangents of input and kernel from the output's that each voxel meets, by tap.

  Args:
    x: [B, *S, Cin].
    kernel: [*K, Cin, Cout].
    taps: For each tap of the kernel, in order, the cotangent [B, *S, Cout] of the
      output to which the input voxel contributes by that tap.
  """
  features_in, features_out = kernel.shape[-2:]
  met = jnp.concatenate(taps, -1).reshape(-1, len(taps) * features_out)
  flat = kernel.reshape(-1, features_in, features_out)
  x_bar = met @ flat.transpose(0, 2, 1).reshape(-1, features_in)
  kernel_bar = (x.reshape(-1, features_in).T @ met).reshape(features_in, len(taps), -1)
  return x_bar.reshape(x.shape), kernel_bar.transpose(1, 0, 2).reshape(kernel.shape)


def _phases(
  x: Array, kernel: Array, *axes: tuple[np.ndarray, tuple[int, int]]
) -> Array:
  """The phases by one convolution of the coarse image, [B, *S, *phases, C].

  Args:
    x: [B, *S, Cin].
    kernel: [*(3,) d, Cin, C].
    axes: For each axis the matrix [phase, neighbour, tap] and the padding by zeros.
  """
  dims = x.ndim - 2
  composed = kernel
  for matrix, _ in axes:
    # [tap, ..., in, out, phases so far] -> [..., in, out, phases so far, phase], with
    # the neighbour axis moved behind the taps that are still to come.
    composed = jnp.tensordot(composed, matrix, ((0,), (2,)))
    composed = jnp.moveaxis(composed, -1, dims - 1)
  # Now [*neighbours, in, out, *phases].
  composed = jnp.moveaxis(composed, dims + 1, -1)
  phases = composed.shape[dims + 1 :]
  composed = composed.reshape(*composed.shape[: dims + 1], -1)
  y = plain_conv(x, composed, 1, [padding for _, padding in axes])
  return y.reshape(*y.shape[:-1], *phases)


def interleave(y: Array) -> Array:
  """Depth to space: [B, *S, *(2,) d, C] -> [B, *(2 S), C]."""
  dims = (y.ndim - 2) // 2
  order = itertools.chain.from_iterable((1 + i, 1 + dims + i) for i in range(dims))
  shape = (y.shape[0], *(2 * n for n in y.shape[1 : dims + 1]), y.shape[-1])
  return y.transpose(0, *order, 2 * dims + 1).reshape(shape)
