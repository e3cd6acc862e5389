import jax
import jax.numpy as jnp
import pytest

from uad_jax.nets.baur2021 import (
  FromVector,
  StudyDecoder,
  StudyEncoder,
  ToVector,
  mirrored,
)
from uad_jax.nets.layers.grid_sizes import halved_grid


def size(module, *inputs):
  variables = jax.eval_shape(module.init, jax.random.key(0), *inputs)
  return sum(x.size for x in jax.tree.leaves(variables))


def test_the_papers_parameter_counts():
  # Golden: 1 625 777 dense, 1 358 241 spatial, 1 756 977 variational (method card 1.1).
  image, features = jnp.zeros((1, 128, 128, 1)), jnp.zeros((1, 8, 8, 128))
  spatial = size(StudyEncoder(), image) + size(StudyDecoder(), features)
  vector = jnp.zeros((1, 128))
  back = size(FromVector((8, 8)), vector)
  assert spatial == 1_358_241
  assert spatial + size(ToVector(128), features) + back == 1_625_777
  assert spatial + size(ToVector(128, 2), features) + back == 1_756_977


@pytest.mark.parametrize('shape', [(32, 16), (16, 16, 32)])
def test_shapes_in_two_and_three_dimensions(shape):
  levels, image = 2, jnp.zeros((2, *shape, 3))
  coarse = halved_grid(shape, levels)
  features = jax.eval_shape(
    lambda x: StudyEncoder((8, 16)).init_with_output(jax.random.key(0), x)[0], image
  )
  assert features.shape == (2, *coarse, 16)
  (z,) = jax.eval_shape(
    lambda x: ToVector(5).init_with_output(jax.random.key(0), x)[0],
    jnp.zeros(features.shape),
  )
  assert z.shape == (2, 5)
  back = jax.eval_shape(
    lambda z: FromVector(coarse, 16).init_with_output(jax.random.key(0), z)[0],
    jnp.zeros((2, 5)),
  )
  assert back.shape == features.shape
  whole = jax.eval_shape(
    lambda x: StudyDecoder(3, (16, 8)).init_with_output(jax.random.key(0), x)[0],
    jnp.zeros(features.shape),
  )
  assert whole.shape == image.shape


@pytest.mark.parametrize(
  'widths, decoder',
  [
    # Method card 1.1: 32 2^i up to 128 on the way down, 128 / 2^i down to 32 back.
    ((32, 64, 128), (128, 64, 32)),
    ((32, 64, 128, 128), (128, 64, 32, 32)),
  ],
)
def test_the_decoders_widths(widths, decoder):
  assert mirrored(widths) == decoder
