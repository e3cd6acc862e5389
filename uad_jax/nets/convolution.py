"""Convolutions of 2-D and 3-D images, [B, *S, C], kernels [*K, Cin, Cout].

The two that double the resolution are computed at the low one: each of the 2^d voxels
that a coarse voxel becomes is a small convolution of the coarse image, so one convolution
with 2^d times the output channels and a rearrangement do all of them. The kernels are
composed on the fly from the ordinary one, and the result is the same.
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np

Array = jax.Array

# Weight of tap k on the coarse neighbour n for the even and the odd fine voxel:
# [phase, neighbour, tap]. Bilinear doubling puts fine voxel 2i at i - 1/4, 2i + 1 at i + 1/4.
UPSAMPLE_CONV = np.array(
  [
    [[0.75, 0.25, 0], [0.25, 0.75, 0.75], [0, 0, 0.25]],
    [[0.25, 0, 0], [0.75, 0.75, 0.25], [0, 0.25, 0.75]],
  ],
  'float32',
)
TRANSPOSE = np.array([[[0, 1, 0], [0, 0, 0]], [[0, 0, 1], [1, 0, 0]]], 'float32')


def conv(
  x: Array, kernel: Array, stride: int = 1, padding: tuple[int, int] | None = None
) -> Array:
  """Convolution; by default padded with zeros by half the kernel on both sides.

  With a stride of 2 and an odd kernel the output voxel i is centred at input voxel 2 i
  (PyTorch's padding; XLA's 'SAME' would centre it at 2 i + 1).
  """
  dims = x.ndim - 2
  space = 'XYZ'[:dims]
  if padding is None:
    padding = ((kernel.shape[0] - 1) // 2,) * 2
  return jax.lax.conv_general_dilated(
    x,
    kernel,
    (stride,) * dims,
    (padding,) * dims,
    dimension_numbers=(f'N{space}C', f'{space}IO', f'N{space}C'),
  )


def upsample_conv(x: Array, kernel: Array) -> Array:
  """Bilinear (trilinear) doubling, then a 3^d convolution with zero padding.

  The doubling is that of `jax.image.resize` (half-pixel centres), not PyTorch's
  align_corners=True: it is local, so that the same weights apply everywhere.
  """
  dims = x.ndim - 2
  padded = jnp.pad(x, [(0, 0), *[(1, 1)] * dims, (0, 0)], 'edge')
  y = _polyphase(padded, kernel, UPSAMPLE_CONV)
  # So far the doubled image continued by its border; take the outer shell out again.
  for axis, (end, tap) in itertools.product(range(dims), ((0, 0), (-1, 2))):
    shell = _shell(x, axis, end)
    part = conv(shell, jnp.take(kernel, tap, axis), padding=(0, 0))
    border = (slice(None),) * (axis + 1) + (end,)
    y = y.at[border].add(-part)
  return y


def _shell(x: Array, axis: int, end: int) -> Array:
  """The outer layer of the doubled image beyond one face, as a (d - 1)-D image.

  It repeats the face. Its rim belongs to one face only: to that of the later axis.
  """
  face = jnp.take(x, end, axis + 1)
  shape = (x.shape[0], *(2 * n for n in face.shape[1:-1]), x.shape[-1])
  face = jax.image.resize(face, shape, 'linear')
  for other in range(face.ndim - 2):
    padding = [(1, 1) if i == other + 1 else (0, 0) for i in range(face.ndim)]
    face = jnp.pad(face, padding, 'constant' if other < axis else 'edge')
  return face


def conv_transpose(x: Array, kernel: Array) -> Array:
  """The transposed 3^d convolution of stride 2 that doubles the shape.

  y[2 i + k - 1] += x[i] w[k] along each axis (PyTorch: padding 1, output padding 1; its
  kernel has the in and out axes first).
  """
  padded = jnp.pad(x, [(0, 0), *[(0, 1)] * (x.ndim - 2), (0, 0)])
  return _polyphase(padded, kernel, TRANSPOSE)


def _polyphase(padded: Array, kernel: Array, matrix: np.ndarray) -> Array:
  """All phases by one convolution of the padded coarse image, then interleaved."""
  dims = padded.ndim - 2
  composed = kernel
  for _ in range(dims):
    # [tap, ..., in, out, phases so far] -> [..., in, out, phases so far, phase] with the
    # neighbour axis moved behind the taps that are still to come.
    composed = jnp.tensordot(composed, matrix, ((0,), (2,)))
    composed = jnp.moveaxis(composed, -1, dims - 1)
  # Now [*neighbours, in, out, *phases].
  composed = jnp.moveaxis(composed, dims + 1, -1)
  features = composed.shape[-1]
  composed = composed.reshape(*composed.shape[: dims + 1], -1)
  y = conv(padded, composed, padding=(0, 0))
  return interleave(y.reshape(*y.shape[:-1], *(2,) * dims, features))


def interleave(y: Array) -> Array:
  """Depth to space: [B, *S, *(2,) d, C] -> [B, *(2 S), C]."""
  dims = (y.ndim - 2) // 2
  order = itertools.chain.from_iterable((1 + i, 1 + dims + i) for i in range(dims))
  y_shape = y.shape
  y = y.transpose(0, *order, 2 * dims + 1)
  return y.reshape(y_shape[0], *(2 * n for n in y_shape[1 : dims + 1]), y_shape[-1])
