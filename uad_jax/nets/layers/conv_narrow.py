"""Convolution with few output channels, computed with the channel axis first for speed.

The kernel has edge 3; up to 3 output channels in 2-D, 1 in 3-D.

With the channels last, a single channel is copied value by value; with the channels
first it is copied, shifted and added by whole lines. Forward: one matrix product of
kernel and image gives a plane for each tap; the shifted planes are added. Derivative:
two matrix products with the shifted planes of the cotangent.
"""

import itertools

import jax
import jax.numpy as jnp

Array = jax.Array

PLANES = 27
"""Largest number of planes (taps times output channels) that are faster on CPU."""


def suits(kernel: Array) -> bool:
  """Checks whether a kernel is small enough for `conv` to be fast.

  All edges of the kernel [*K, Cin, Cout] must be 3, and taps times output channels at
  most `PLANES`.
  """
  *edges, _, channels = kernel.shape
  return set(edges) == {3} and channels * 3 ** len(edges) <= PLANES


@jax.custom_vjp
def conv(x: Array, kernel: Array) -> Array:
  """Convolves a zero-padded image by a 3 x 3 (x 3) kernel with few output channels.

  Args:
    x: [B, *S, Cin].
    kernel: [*(3,) d, Cin, C], for which `suits` is true.

  Returns:
    [B, *S, C].
  """
  planes = _by_tap(kernel) @ x.reshape(-1, x.shape[-1]).T
  planes = planes.reshape(-1, kernel.shape[-1], *x.shape[:-1])
  shifted = _shifts(planes, x.shape[1:-1])
  y = sum(part[i] for i, part in enumerate(shifted))
  return jnp.moveaxis(y, 0, -1)


def _conv_vjp(saved, g):
  x, kernel = saved
  features, channels = kernel.shape[-2:]
  planes = jnp.moveaxis(g, -1, 0)[None]
  # The output at i + k - 1 sees the input at i by the tap 2 - k.
  shifted = [part[0] for part in _shifts(planes, x.shape[1:-1])][::-1]
  shifted = jnp.stack(shifted).reshape(-1, x.size // features)
  x_bar = (shifted.T @ _by_tap(kernel)).reshape(x.shape)
  kernel_bar = (shifted @ x.reshape(-1, features)).reshape(-1, channels, features)
  return x_bar, kernel_bar.transpose(0, 2, 1).reshape(kernel.shape)


conv.defvjp(lambda x, kernel: (conv(x, kernel), (x, kernel)), _conv_vjp)


def _by_tap(kernel: Array) -> Array:
  """Flattens a kernel [*K, Cin, C] to a matrix [taps C, Cin]."""
  features, channels = kernel.shape[-2:]
  flat = kernel.reshape(-1, features, channels)
  return flat.transpose(0, 2, 1).reshape(-1, features)


def _shifts(planes: Array, grid: tuple[int, ...]) -> list[Array]:
  """Shifts planes [T, C, B, *S], padded by zeros, by k - 1 for each tap k in order."""
  dims = len(grid)
  padded = jnp.pad(planes, [(0, 0)] * 3 + [(1, 1)] * dims)
  return [
    padded[(..., *(slice(k, k + n) for k, n in zip(tap, grid, strict=True)))]
    for tap in itertools.product(range(3), repeat=dims)
  ]
