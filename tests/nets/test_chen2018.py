import jax
import jax.numpy as jnp
import numpy as np
import pytest

from uad_jax.nets.chen2018 import ResidualDecoder, ResidualEncoder
from uad_jax.nets.layers.resample import double, halve


@pytest.mark.parametrize('shape', [(16, 8), (8, 16, 8)])
def test_shapes_in_two_and_three_dimensions(shape):
  image = jnp.zeros((2, *shape, 3))
  (z,) = jax.eval_shape(
    lambda x: ResidualEncoder((4, 8), 5).init_with_output(jax.random.key(0), x)[0],
    image,
  )
  assert z.shape == (2, 5)
  decoded = jax.eval_shape(
    lambda z: ResidualDecoder(shape, 3, (4, 8)).init_with_output(jax.random.key(0), z)[
      0
    ],
    jnp.zeros((2, 5)),
  )
  assert decoded.shape == image.shape


def test_the_widths_are_the_papers():
  shapes = jax.eval_shape(
    ResidualEncoder().init, jax.random.key(0), jnp.zeros((1, 256, 256, 1))
  )['params']
  # 16, then 32-64-128-256 at a sixteenth of 256, then 128 values (method card 2).
  assert shapes['Conv_0']['kernel'].shape == (3, 3, 1, 16)
  widths = [shapes[f'Residual_{i}']['Conv_2']['kernel'].shape[-1] for i in range(4)]
  assert widths == [32, 64, 128, 256]
  assert shapes['Dense_0']['kernel'].shape == (16 * 16 * 256, 128)
  shapes = jax.eval_shape(
    ResidualDecoder((256, 256)).init, jax.random.key(0), jnp.zeros((1, 128))
  )['params']
  assert shapes['Conv_0']['kernel'].shape == (3, 3, 256, 128)
  widths = [shapes[f'Residual_{i}']['Conv_2']['kernel'].shape[-1] for i in range(4)]
  assert widths == [128, 64, 32, 16]


def test_halving_undoes_doubling(key):
  x = jax.random.normal(key, (2, 3, 4, 2))
  np.testing.assert_allclose(halve(double(x)), x, rtol=1e-6)
