"""Laplacian pyramids (Burt and Adelson 1983) of images, 2-D and 3-D by the shape."""

from collections.abc import Sequence

import jax

Array = jax.Array


def resize(x: Array, shape: Sequence[int]) -> Array:
  """Linear interpolation of [B, *S, C] to another grid, smoothed where it is coarser.

  To half the grid the kernel is (1, 3, 3, 1) / 8 along each axis.
  """
  return jax.image.resize(x, (len(x), *shape, x.shape[-1]), 'linear')


def gaussian(x: Array, levels: int) -> list[Array]:
  """The image at `levels` grids, finest first, each half of the one before."""
  images = [x]
  for _ in range(levels - 1):
    x = resize(x, [-(-n // 2) for n in x.shape[1:-1]])
    images.append(x)
  return images


def laplacian(x: Array, levels: int) -> list[Array]:
  """Bands L_i = x_i - up(x_{i+1}), and the coarsest image last; finest first."""
  images = gaussian(x, levels)
  bands = [
    fine - resize(coarse, fine.shape[1:-1])
    for fine, coarse in zip(images[:-1], images[1:], strict=True)
  ]
  return [*bands, images[-1]]


def compose(bands: Sequence[Array]) -> Array:
  """The inverse of `laplacian`: x_i = L_i + up(x_{i+1}), from the coarsest on."""
  x = bands[-1]
  for band in bands[-2::-1]:
    x = band + resize(x, band.shape[1:-1])
  return x
