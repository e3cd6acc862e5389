import functools

import flax.linen as nn
import jax
import pytest

from tests.nets.layers.close import assert_close
from uad_jax.nets.layers.conv import Conv

CASES = pytest.mark.parametrize(
  'shape, edge, stride',
  [
    ((8, 6), 1, 1),
    ((8, 6), 3, 1),
    ((8, 6), 3, 2),
    ((8, 6), 4, 2),
    ((8, 6), 5, 2),
    ((7, 6), 5, 2),
    ((9, 6), 4, 3),
    ((4, 6, 8), 1, 1),
    ((4, 6, 8), 4, 2),
    ((4, 6, 8), 5, 2),
    ((6, 4, 5), 5, 2),
  ],
)


def layers(shape, edge, stride, key):
  """The layer of flax and ours, one set of parameters and an image."""
  plain, ours = (kind(4, (edge,) * len(shape), stride) for kind in (nn.Conv, Conv))
  x = jax.random.normal(key, (2, *shape, 3))
  params = plain.init(key, x)
  assert_close(ours.init(key, x), params)
  return plain, ours, params, x


@CASES
def test_it_is_the_plain_convolution_with_its_derivatives(shape, edge, stride, key):
  plain, ours, params, x = layers(shape, edge, stride, key)

  def slopes(net):
    return jax.value_and_grad(lambda p, x: (net.apply(p, x) ** 2).sum(), (0, 1))

  assert_close(slopes(ours)(params, x), slopes(plain)(params, x))


@CASES
def test_the_slopes_of_a_gradient_penalty_are_those_of_the_plain_one(
  shape, edge, stride, key
):
  plain, ours, params, x = layers(shape, edge, stride, key)

  def penalty(net, params, x):
    # Nonlinear in the layer, so that both second derivatives are asked for.
    slope = jax.grad(lambda x: (nn.swish(net.apply(params, x)) ** 2).sum())(x)
    return ((slope**2).sum() - 1) ** 2

  def penalty_and_slopes(net):
    return jax.value_and_grad(functools.partial(penalty, net), (0, 1))(params, x)

  assert_close(penalty_and_slopes(ours), penalty_and_slopes(plain))


def test_a_padding_of_its_own_is_kept(key):
  x = jax.random.normal(key, (2, 8, 6, 3))
  for edge, stride in ((1, 1), (4, 2)):
    plain, ours = (kind(4, (edge,) * 2, stride, padding=1) for kind in (nn.Conv, Conv))
    params = plain.init(key, x)

    def slope(net, params=params):
      return jax.grad(lambda x: (net.apply(params, x) ** 2).sum())(x)

    assert_close(ours.apply(params, x), plain.apply(params, x))
    assert_close(slope(ours), slope(plain))
