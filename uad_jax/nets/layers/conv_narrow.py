"""A 3^d convolution to one or two channels, by planes instead of pixels.

A channel that stands alone along the last axis is copied value by value; as a plane of
its own it is copied, shifted and added by whole lines. Forward: one product of the
kernel with the image, a plane for each tap, then their shifted sum. Back: two products
with the shifted planes of the cotangent.
"""

import itertools

import jax
import jax.numpy as jnp

Array = jax.Array

PLANES = 27
"""Up to so many, taps times channels, it is the faster way on a CPU."""


def suits(kernel: Array) -> bool:
  """Whether a kernel [*K, Cin, Cout] is of 3^d and thin enough."""
  *edges, _, channels = kernel.shape
  return set(edges) == {3} and channels * 3 ** len(edges) <= PLANES


@jax.custom_vjp
def conv(x: Array, kernel: Array) -> Array:
  """[B, *S, Cin] to [B, *S, C], padded by zeros."""
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
  met = [part[0] for part in _shifts(planes, x.shape[1:-1])][::-1]
  met = jnp.stack(met).reshape(-1, x.size // features)
  x_bar = (met.T @ _by_tap(kernel)).reshape(x.shape)
  kernel_bar = (met @ x.reshape(-1, features)).reshape(-1, channels, features)
  return x_bar, kernel_bar.transpose(0, 2, 1).reshape(kernel.shape)


conv.defvjp(lambda x, kernel: (conv(x, kernel), (x, kernel)), _conv_vjp)


def _by_tap(kernel: Array) -> Array:
  """[*K, Cin, C] to [taps C, Cin]."""
  features, channels = kernel.shape[-2:]
  flat = kernel.reshape(-1, features, channels)
  return flat.transpose(0, 2, 1).reshape(-1, features)


def _shifts(planes: Array, grid: tuple[int, ...]) -> list[Array]:
  """[T, C, B, *S] padded by zeros and shifted by k - 1, for each tap k in order."""
  dims = len(grid)
  padded = jnp.pad(planes, [(0, 0)] * 3 + [(1, 1)] * dims)
  return [
    padded[(..., *(slice(k, k + n) for k, n in zip(tap, grid, strict=True)))]
    for tap in itertools.product(range(3), repeat=dims)
  ]
