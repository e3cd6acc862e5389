"""Feature maps of VGG-19 (Simonyan and Zisserman 2015), with weights from a file."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp

Array = jax.Array

BLOCKS = ((0, 2), (5, 7), (10, 12, 14, 16), (19, 21, 23, 25), (28, 30, 32, 34))
"""Numbers of the convolutions between poolings, as torchvision counts its layers."""

LEVELS = len(BLOCKS) - 1
"""Maps at most: those of the second block and of later ones."""


def names(levels: int) -> list[str]:
  """Returns the names of the arrays that the first levels need."""
  numbers = [number for block in BLOCKS[: levels + 1] for number in block]
  return [f'features.{n}.{part}' for n in numbers for part in ('weight', 'bias')]


def apply(params: Mapping[str, Array], x: Array, levels: int) -> list[Array]:
  """Computes the maps after the last ReLU of each block from the second on.

  Args:
    params: Arrays as torchvision names them, kernels [W, C, 3, 3].
    x: Images [B, H, W, 3], standardised as photographs.
    levels: Number of maps.

  Returns:
    Maps [B, H / 2^l, W / 2^l, K_l], l = 1, 2, ...
  """
  maps = []
  for index, block in enumerate(BLOCKS[: levels + 1]):
    if index:
      x = jax.lax.reduce_window(
        x, -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), 'VALID'
      )
    for number in block:
      kernel, bias = (params[f'features.{number}.{p}'] for p in ('weight', 'bias'))
      x = jax.lax.conv_general_dilated(
        x,
        jnp.asarray(kernel),
        (1, 1),
        'SAME',
        dimension_numbers=('NHWC', 'OIHW', 'NHWC'),
      )
      x = jax.nn.relu(x + jnp.reshape(bias, (1, 1, 1, -1)))
    if index:
      maps.append(x)
  return maps
