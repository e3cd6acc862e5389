"""Grids that are halved level by level, and the limit of a latent's size."""

import re

import jax
import jax.numpy as jnp
import pytest

from uad_jax.nets.layers.grid_sizes import check_latent, halved_grid, sizes


@pytest.mark.parametrize('shape', [(7, 4), (16, 16), (9, 1, 6)])
def test_sizes_are_those_of_convolutions_with_a_stride(shape):
  grids = sizes(shape, 3)
  assert grids[0] == shape and len(grids) == 4
  kernel = jnp.zeros((3,) * len(shape) + (1, 1))
  space = 'XYZ'[: len(shape)]
  names = (f'N{space}C', f'{space}IO', f'N{space}C')
  for before, after in zip(grids, grids[1:], strict=False):
    # Oracle: the shape of a lax convolution of stride 2.
    strided = jax.eval_shape(
      lambda x: jax.lax.conv_general_dilated(
        x, kernel, (2,) * len(shape), 'SAME', dimension_numbers=names
      ),
      jnp.zeros((1, *before, 1)),
    )
    assert strided.shape == (1, *after, 1)


def test_no_halving_leaves_the_shape_alone():
  assert sizes([5, 3], 0) == [(5, 3)]


@pytest.mark.parametrize('shape, limit', [((5, 1), 3), ((8, 8), 3), ((2, 9, 4), 4)])
def test_a_single_voxel_is_not_halved(shape, limit):
  assert sizes(shape, limit)[-1] == (1,) * len(shape)
  assert sizes(shape, limit)[-2] != (1,) * len(shape)
  sentence = f'cannot be halved {limit + 1} times; allowed are up to {limit}$'
  with pytest.raises(ValueError, match=sentence):
    sizes(shape, limit + 1)


@pytest.mark.parametrize(
  'shape, coarse', [((16, 8), (2, 1)), ((24, 8, 16), (3, 1, 2)), ([8, 8], (1, 1))]
)
def test_halved_grid_divides_by_a_power_of_two(shape, coarse):
  assert halved_grid(shape, 3) == coarse
  assert sizes(shape, 3)[-1] == coarse


@pytest.mark.parametrize('shape', [(20, 16), (16, 20), (16, 16, 4)])
def test_a_shape_that_does_not_halve_is_refused(shape):
  sentence = f'{shape} cannot be halved 3 times; allowed are multiples of 8'
  with pytest.raises(ValueError, match=re.escape(sentence)):
    halved_grid(shape, 3)


@pytest.mark.parametrize('shape', [(4, 6), (2, 3, 4)])
def test_a_latent_may_have_as_many_values_as_the_image(shape):
  # 24 voxels of 2 channels; the number of examples does not count.
  image = jnp.zeros((5, *shape, 2))
  check_latent(48, image)
  sentence = 'a latent of 49 values is too large .* 2 channels; allowed are up to 48$'
  with pytest.raises(ValueError, match=sentence):
    check_latent(49, image)
