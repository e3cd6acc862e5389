"""Functions for Gaussian and Laplacian image pyramids (Burt and Adelson 1983)."""

from collections.abc import Sequence

import jax

Array = jax.Array


def resize(x: Array, shape: Sequence[int]) -> Array:
  """Resizes images to another grid by linear interpolation with antialiasing.

  Before they are resized to a coarser grid they are smoothed; for half the size both
  together are the kernel (1, 3, 3, 1) / 8 along each axis.

  Args:
    x: [B, *S, C].
    shape: Sizes of the new grid, one for each spatial axis.

  Returns:
    [B, *shape, C].

  Examples:
    >>> resize(jnp.ones((1, 4, 6, 1)), (2, 3)).shape
    (1, 2, 3, 1)
  """
  return jax.image.resize(x, (len(x), *shape, x.shape[-1]), 'linear')


def gaussian(x: Array, levels: int) -> list[Array]:
  """Computes the Gaussian pyramid of images: `levels` resolutions, the finest first.

  Args:
    x: [B, *S, C].
    levels: Number of resolutions; each grid has half the size of the one before,
      rounded up.

  Examples:
    >>> [image.shape for image in gaussian(jnp.ones((1, 5, 8, 1)), 3)]
    [(1, 5, 8, 1), (1, 3, 4, 1), (1, 2, 2, 1)]
  """
  images = [x]
  for _ in range(levels - 1):
    x = resize(x, [-(-n // 2) for n in x.shape[1:-1]])
    images.append(x)
  return images


def laplacian(x: Array, levels: int) -> list[Array]:
  """Computes the Laplacian pyramid of images: detail bands, then the coarsest image.

  The bands are L_i = x_i - up(x_{i+1}), where x_i are the images of `gaussian` and up()
  resizes to the next finer grid.

  Args:
    x: [B, *S, C].
    levels: Number of resolutions.

  Returns:
    `levels` arrays on the grids of `gaussian`, the finest first.

  Examples:
    >>> x = jnp.arange(16.0).reshape(1, 4, 4, 1)
    >>> bands = laplacian(x, 2)
    >>> [band.shape for band in bands]
    [(1, 4, 4, 1), (1, 2, 2, 1)]
    >>> bool(jnp.allclose(compose(bands), x))
    True
  """
  images = gaussian(x, levels)
  bands = [
    fine - resize(coarse, fine.shape[1:-1])
    for fine, coarse in zip(images[:-1], images[1:], strict=True)
  ]
  return [*bands, images[-1]]


def compose(bands: Sequence[Array]) -> Array:
  """Reconstructs images from their Laplacian pyramid: the inverse of `laplacian`.

  x_i = L_i + up(x_{i+1}), from the coarsest level to the finest.

  Args:
    bands: Arrays from `laplacian`, the finest first.

  Returns:
    Images [B, *S, C] on the grid of the finest band.

  Examples:
    >>> flat = [jnp.zeros((1, 4, 4, 1)), jnp.full((1, 2, 2, 1), 3.0)]
    >>> compose(flat)[0, :2, :2, 0].tolist()
    [[3.0, 3.0], [3.0, 3.0]]
  """
  x = bands[-1]
  for band in bands[-2::-1]:
    x = band + resize(x, band.shape[1:-1])
  return x
