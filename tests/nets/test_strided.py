import functools

import flax.linen as nn
import jax
import pytest

from tests.nets.close import assert_close
from uad_jax.nets.strided import conv


def nets(d):
  """The same layer with the convolution of flax and with ours."""
  layer = functools.partial(nn.Conv, 4, (5,) * d, 2)
  return layer(), layer(conv_general_dilated=conv)


@pytest.mark.parametrize('shape', [(8, 6), (6, 4, 5)])
def test_it_is_the_plain_convolution_with_its_derivatives(shape, key):
  plain, ours = nets(len(shape))
  x = jax.random.normal(key, (2, *shape, 3))
  params = plain.init(key, x)

  def slopes(net):
    return jax.value_and_grad(lambda p, x: (net.apply(p, x) ** 2).sum(), (0, 1))

  assert_close(slopes(ours)(params, x), slopes(plain)(params, x))


@pytest.mark.parametrize('shape', [(8, 6), (6, 4, 5)])
def test_the_slopes_of_a_gradient_penalty_are_those_of_the_plain_one(shape, key):
  plain, ours = nets(len(shape))
  x = jax.random.normal(key, (2, *shape, 3))
  params = plain.init(key, x)

  def penalty(net, params, x):
    # Nonlinear in the layer, so that both second derivatives are asked for.
    slope = jax.grad(lambda x: (nn.swish(net.apply(params, x)) ** 2).sum())(x)
    return ((slope**2).sum() - 1) ** 2

  def found(net):
    return jax.value_and_grad(functools.partial(penalty, net), (0, 1))(params, x)

  assert_close(found(ours), found(plain))
