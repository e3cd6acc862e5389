import jax
import jax.numpy as jnp
import pytest

from tests.nets.layers.close import assert_close
from uad_jax.nets.layers import conv_narrow
from uad_jax.nets.layers.conv_kernels import plain_conv


@pytest.mark.parametrize(
  'shape, features, channels', [((7, 5), 4, 1), ((6, 8), 3, 2), ((4, 5, 3), 2, 1)]
)
def test_it_is_the_plain_convolution_with_its_derivatives(
  shape, features, channels, key
):
  key_x, key_kernel = jax.random.split(key)
  x = jax.random.normal(key_x, (2, *shape, features))
  edges = (3,) * len(shape)
  kernel = jax.random.normal(key_kernel, (*edges, features, channels))
  assert conv_narrow.suits(kernel)

  def energy(convolve):
    return jax.value_and_grad(lambda x, k: (convolve(x, k) ** 3).sum(), (0, 1))

  ours = energy(conv_narrow.conv)(x, kernel)
  want = energy(lambda x, k: plain_conv(x, k, 1, 'SAME'))(x, kernel)
  assert_close(ours, want)


@pytest.mark.parametrize('shape', [(3, 3, 4, 8), (5, 5, 4, 1), (3, 3, 3, 4, 2)])
def test_wide_and_other_kernels_do_not_suit(shape):
  assert not conv_narrow.suits(jnp.zeros(shape))
