"""Derivatives of convolutions: values, and the form that XLA is fast at in loops."""

import jax
import jax.numpy as jnp
import pytest
from jax.extend import core
from jax.interpreters import partial_eval

from tests.nets.layers.close import assert_close
from uad_jax.nets.layers import conv_doubling, conv_kernels
from uad_jax.nets.layers.conv import conv_general
from uad_jax.nets.layers.conv_derivatives import dimension_numbers, image_derivative


@pytest.mark.parametrize(
  ('grid', 'edges', 'strides', 'padding'),
  [
    ((7,), (3,), (1,), 'SAME'),
    ((8, 6), (3, 3), (1, 1), 'VALID'),
    ((8, 7), (3, 5), (2, 2), 'SAME'),
    ((9, 6), (4, 4), (3, 2), 'SAME'),
    ((8, 6), (3, 3), (2, 2), ((1, 1), (1, 1))),
    ((4, 6, 5), (3, 3, 3), (2, 2, 2), ((0, 2), (1, 0), (2, 2))),
  ],
)
def test_the_derivative_with_respect_to_the_image_is_the_transpose(
  grid, edges, strides, padding, key
):
  key_kernel, key_g = jax.random.split(key)
  kernel = jax.random.normal(key_kernel, (*edges, 3, 4))
  numbers = dimension_numbers(len(grid))

  def convolve(x):
    return jax.lax.conv_general_dilated(
      x, kernel, strides, padding, dimension_numbers=numbers
    )

  image = jax.ShapeDtypeStruct((2, *grid, 3), 'float32')
  g = jax.random.normal(key_g, jax.eval_shape(convolve, image).shape)
  # Oracle: jax's own transpose.
  (expected,) = jax.linear_transpose(convolve, image)(g)
  assert_close(image_derivative(kernel, g, grid, strides, padding), expected)


def convolutions(graph):
  """Yields the equations of all convolutions of a graph, nested ones included."""
  for equation in graph.eqns:
    if equation.primitive.name == 'conv_general_dilated':
      yield equation
    for value in equation.params.values():
      if isinstance(value, core.ClosedJaxpr):
        yield from convolutions(value.jaxpr)


@pytest.mark.parametrize(
  'convolve',
  [
    conv_kernels.conv,
    lambda x, k: conv_kernels.conv(x, k, 2),
    conv_doubling.upsample_conv,
    conv_doubling.conv_transpose,
    lambda x, k: conv_general(
      x, k, (1, 1), 'SAME', dimension_numbers=dimension_numbers(2)
    ),
    lambda x, k: conv_general(
      x, k, (2, 2), 'SAME', dimension_numbers=dimension_numbers(2)
    ),
  ],
)
def test_derivatives_of_images_keep_the_axes_of_the_kernel_in_order(convolve):
  # XLA on CPU: another order of the axes is 20 times slower in the body of a loop.
  x, kernel = jnp.ones((2, 16, 16, 8)), jnp.ones((3, 3, 8, 8))

  def slope(x):
    return jax.grad(lambda x: (convolve(x, kernel) ** 2).sum())(x)

  specs = {
    equation.params['dimension_numbers'].rhs_spec
    for equation in convolutions(_without_dead_code(slope, x))
  }
  # (out, in, *space): the kernel is [*space, in, out].
  assert specs <= {(3, 2, 0, 1), (2, 1, 0)}, specs


def _without_dead_code(function, x):
  """Graph of a function without the derivatives of kernels, which nobody uses."""
  graph = jax.make_jaxpr(function)(x).jaxpr
  return partial_eval.dce_jaxpr(graph, [True])[0]
