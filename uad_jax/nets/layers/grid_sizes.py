"""Sizes of grids that are halved level by level, and of the latent at the end."""

import math
from collections.abc import Sequence

import jax


def sizes(shape: Sequence[int], levels: int) -> list[tuple[int, ...]]:
  """The grids at full resolution and after each of `levels` halvings, rounded up.

  Raises:
    ValueError: A single voxel would be halved.
  """
  most = (max(shape) - 1).bit_length()
  if levels > most:
    raise ValueError(
      f'the shape {tuple(shape)} cannot be halved {levels} times; allowed are up to '
      f'{most}'
    )
  grids = [tuple(shape)]
  for _ in range(levels):
    grids.append(tuple(-(-n // 2) for n in grids[-1]))
  return grids


def halved_grid(shape: Sequence[int], levels: int) -> tuple[int, ...]:
  """The bottleneck's grid; a shape that does not halve `levels` times is refused."""
  if any(n % 2**levels for n in shape):
    raise ValueError(
      f'the shape {tuple(shape)} cannot be halved {levels} times; allowed are '
      f'multiples of {2**levels}'
    )
  return tuple(n // 2**levels for n in shape)


def check_latent(values: int, image: jax.Array) -> None:
  """Refuses a latent of more values than an image [B, *S, C] has."""
  *shape, channels = image.shape[1:]
  most = math.prod(shape) * channels
  if values > most:
    raise ValueError(
      f'a latent of {values} values is too large for images of {tuple(shape)} with '
      f'{channels} channels; allowed are up to {most}'
    )
