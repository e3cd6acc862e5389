"""Functions for convolutions that double the resolution of an image.

Images [B, *S, C], kernels [*K, Cin, Cout], 2-D and 3-D. They are computed on the coarse
grid. Each of the 2^d fine voxels of
a coarse voxel (its phases) is a small convolution of the coarse image, so that one
convolution with 2^d times the output channels and a rearrangement give all of them. Its
kernel is composed from the ordinary one at each call. The derivative of the transposed
convolution is written out as two matrix products with the shifted cotangents: XLA's
convolutions for it were several times slower on CPU.
"""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np

from uad_jax.nets.layers.conv_kernels import (
  SMALL_GRID,
  conv,
  plain_conv,
  vjp_by_taps,
)

Array = jax.Array

UPSAMPLE_CONV = np.array(
  [
    [[0.75, 0.25, 0], [0.25, 0.75, 0.75], [0, 0, 0.25]],
    [[0.25, 0, 0], [0.75, 0.75, 0.25], [0, 0.25, 0.75]],
  ],
  'float32',
)
"""Weights of linear doubling and a 3-tap convolution along one axis.

[phase, neighbour, tap]: weight of the tap on a coarse neighbour, for the even and the
odd fine voxel. Linear doubling puts fine voxel 2 i at i - 1/4 and 2 i + 1 at i + 1/4.
"""

UPSAMPLE_BORDER = {
  0: np.array([[-0.25, 0.25, 0], [0.25, 0, 0]], 'float32'),
  -1: np.array([[0, 0, 0.25], [0, 0.25, -0.25]], 'float32'),
}
"""Corrections [phase, tap] at the first (0) and the last (-1) voxel of an axis.

Interpolation repeats the border of the image instead of continuing it by zeros, and the
zeros of the convolution begin where the doubled image ends.
"""

TRANSPOSE = np.array([[[0, 1, 0], [0, 0, 0]], [[0, 0, 1], [1, 0, 0]]], 'float32')
"""Weights [phase, neighbour, tap] of the transposed convolution along one axis."""


def upsample_conv(x: Array, kernel: Array) -> Array:
  """Doubles the resolution of an image by linear interpolation and convolves it.

  The kernel has edge 3, the padding is zero. Interpolation is that of
  `jax.image.resize` (half-pixel centres), not as PyTorch with align_corners=True: so
  the same weights apply at all voxels.

  Args:
    x: [B, *S, Cin].
    kernel: [*(3,) d, Cin, Cout].

  Returns:
    [B, *(2 S), Cout].
  """
  if math.prod(x.shape[1:-1]) <= SMALL_GRID:
    shape = (x.shape[0], *(2 * n for n in x.shape[1:-1]), x.shape[-1])
    return conv(jax.image.resize(x, shape, 'linear'), kernel)
  return interleave(_upsample_phases(x, kernel, (True,) * (x.ndim - 2)))


def _upsample_phases(x: Array, kernel: Array, edges: tuple[bool, ...]) -> Array:
  """Computes the phases of `upsample_conv`, [B, *S, *(2,) d, C].

  The phases of the image continued by zeros on the coarse grid are corrected on its
  faces, where `resize` repeats the border (`UPSAMPLE_BORDER`). The correction of a face
  is the same operation with one axis less.

  Args:
    x: [B, *S, Cin].
    kernel: [*(3,) d, Cin, C].
    edges: For each axis, whether its two faces are corrected.
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
  """Doubles the resolution of an image by a transposed convolution of kernel edge 3.

  The stride is 2: y[2 i + k - 1] += x[i] w[k] along each axis (in PyTorch: padding
  1, output padding 1; its kernel has the channel axes first).

  Args:
    x: [B, *S, Cin].
    kernel: [*(3,) d, Cin, Cout].

  Returns:
    [B, *(2 S), Cout].
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
  return vjp_by_taps(x, kernel, taps)


conv_transpose.defvjp(lambda x, k: (conv_transpose(x, k), (x, k)), _conv_transpose_vjp)


def _phases(
  x: Array, kernel: Array, *axes: tuple[np.ndarray, tuple[int, int]]
) -> Array:
  """Computes fine voxels by one convolution of the coarse image, [B, *S, *phases, C].

  Args:
    x: Coarse image [B, *S, Cin].
    kernel: [*(3,) d, Cin, C].
    *axes: For each axis the weights [phase, neighbour, tap] and the padding by zeros.
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
  """Interleaves the voxels of several coarse images into one of double resolution.

  The 2^d images [B, *S, *(2,) d, C] give [B, *(2 S), C].
  """
  dims = (y.ndim - 2) // 2
  order = itertools.chain.from_iterable((1 + i, 1 + dims + i) for i in range(dims))
  shape = (y.shape[0], *(2 * n for n in y.shape[1 : dims + 1]), y.shape[-1])
  return y.transpose(0, *order, 2 * dims + 1).reshape(shape)
