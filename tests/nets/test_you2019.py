"""The networks of You et al. 2019."""

import jax
import jax.numpy as jnp
import pytest

from uad_jax.nets.you2019 import MapDecoder, MapEncoder


@pytest.mark.parametrize('d', [2, 3])
def test_layers_and_shapes_are_the_published_ones(d, key):
  """Six convolutions of 3^d to a quarter of the grid; five and the head back."""
  shape = (12, 8, 4)[:d]
  encoder, decoder = MapEncoder((64, 64)), MapDecoder(1, (64, 64))

  def run(key):
    image = jnp.zeros((2, *shape, 1))
    maps, first = encoder.init_with_output(key, image)
    return (maps, first['params'], *decoder.init_with_output(key, maps))

  maps, first, (mean, log_variance), second = jax.eval_shape(run, key)
  assert maps.shape == (2, *(n // 4 for n in shape), 64)
  assert mean.shape == log_variance.shape == (2, *shape, 1)
  hidden = 64 * 64 * 3**d + 64
  sizes = [sum(x.size for x in jax.tree.leaves(p)) for p in (first, second)]
  assert sizes[0] == 64 * 3**d + 64 + 5 * hidden
  assert sizes[1] == 5 * hidden + 2 * 64 * 3**d + 2
