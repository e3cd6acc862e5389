"""Functions that compute the grid shapes of an encoder and check its latent size."""

import math
from collections.abc import Sequence

import jax


def sizes(shape: Sequence[int], levels: int) -> list[tuple[int, ...]]:
  """Computes the spatial shapes of an image at full resolution and after each halving.

  Args:
    shape: Spatial shape of the image.
    levels: Number of halvings, each rounded up.

  Returns:
    `levels` + 1 spatial shapes, finest first.

  Raises:
    ValueError: A single voxel would be halved.
  """
  limit = (max(shape) - 1).bit_length()
  if levels > limit:
    raise ValueError(
      f'the shape {tuple(shape)} cannot be halved {levels} times; allowed are up to '
      f'{limit}'
    )
  grids = [tuple(shape)]
  for _ in range(levels):
    grids.append(tuple(-(-n // 2) for n in grids[-1]))
  return grids


def halved_grid(shape: Sequence[int], levels: int) -> tuple[int, ...]:
  """Computes the spatial shape of an image after halvings that leave no remainder.

  Args:
    shape: Spatial shape of the image, multiples of 2^levels.
    levels: Number of halvings.

  Raises:
    ValueError: An axis is not a multiple of 2^levels.
  """
  if any(n % 2**levels for n in shape):
    raise ValueError(
      f'the shape {tuple(shape)} cannot be halved {levels} times; allowed are '
      f'multiples of {2**levels}'
    )
  return tuple(n // 2**levels for n in shape)


def check_latent(values: int, image: jax.Array) -> None:
  """Checks that the latent of an auto-encoder has no more values than the image.

  Args:
    values: Number of latent values of one example.
    image: Images [B, *S, C].

  Raises:
    ValueError: `values` exceeds the number of voxels times channels of one example.
  """
  *shape, channels = image.shape[1:]
  limit = math.prod(shape) * channels
  if values > limit:
    raise ValueError(
      f'a latent of {values} values is too large for images of {tuple(shape)} with '
      f'{channels} channels; allowed are up to {limit}'
    )
