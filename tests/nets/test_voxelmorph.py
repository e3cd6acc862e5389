"""The U-Net of VoxelMorph: widths, grids and the start of the training."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from uad_jax.nets.voxelmorph import START_LOG_VARIANCE, Field, Posterior

ENCODER = (16, 32, 32, 32)


def weights_of(layers, edge):
  """Number of parameters of convolutions with a bias, (inputs, outputs) each."""
  return sum(edge * a * b + b for a, b in layers)


@pytest.mark.parametrize(
  'decoder, layers',
  [
    ((32, 32, 32, 32, 8, 8), [(32, 8), (8 + 2, 8), (8, 3)]),  # VoxelMorph-1
    ((32, 32, 32, 32, 32, 16, 16), [(32, 32), (32 + 2, 16), (16, 16), (16, 3)]),
    ((32, 32, 32, 32, 32), [(32, 32), (32, 3)]),  # a field on half the grid
  ],
)
def test_parameters_are_those_of_the_layers(decoder, layers):
  shared = [(2, 16), (16, 32), (32, 32), (32, 32)]  # 1/2, 1/4, 1/8, 1/16
  shared += [(32, 32), (64, 32), (64, 32), (48, 32)]  # 1/16, 1/8, 1/4, 1/2
  image = jnp.zeros((1, 32, 32, 32, 1))
  params = jax.eval_shape(Field(ENCODER, decoder).init, jax.random.key(0), image, image)
  count = sum(x.size for x in jax.tree.leaves(params))
  assert count == weights_of(shared + layers, 27)


@pytest.mark.parametrize('shape', [(13, 10), (9, 8, 7)])
def test_any_size_and_a_start_at_rest(shape, key):
  image = jax.random.uniform(key, (2, *shape, 1))
  for decoder, grid in (((4,) * 4, shape), ((4,) * 3, [-(-n // 2) for n in shape])):
    network = Field((4, 4), decoder)
    field = network.apply(network.init(key, image, image), image, 1 - image)
    assert field.shape == (2, *grid, len(shape))
    assert 0 < float(jnp.abs(field).max()) < 1e-3


def test_the_posterior_starts_almost_without_variance(key):
  image = jax.random.uniform(key, (1, 8, 8, 1))
  network = Posterior((4, 4), (4, 4, 4))
  mean, log_variance = network.apply(network.init(key, image, image), image, image)
  assert mean.shape == log_variance.shape == (1, 4, 4, 2)
  assert float(jnp.abs(mean).max()) < 1e-3
  np.testing.assert_allclose(log_variance, START_LOG_VARIANCE, atol=1e-6)


def test_too_few_widths_are_refused():
  image = jnp.zeros((1, 8, 8, 1))
  with pytest.raises(ValueError, match='at least one decoder width more'):
    Field((4, 4), (4, 4)).init(jax.random.key(0), image, image)
