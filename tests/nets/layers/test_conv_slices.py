"""Convolutions of volumes by their slices equal XLA's, with their derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.nets.layers.close import assert_close
from uad_jax.nets.layers import conv_derivatives, conv_slices

CASES = pytest.mark.parametrize(
  'grid, edges, strides, padding',
  [
    ((5, 6, 4), (3, 3, 3), (1, 1, 1), 'SAME'),
    ((5, 6, 4), (3, 3, 3), (1, 1, 1), 'VALID'),
    ((5, 6, 4), (2, 2, 2), (1, 1, 1), [(0, 1), (1, 0), (0, 1)]),
    ((5, 6, 4), (3, 1, 3), (1, 1, 1), [(2, 0), (0, 0), (0, 3)]),
    ((6, 6, 4), (3, 3, 3), (2, 2, 2), [(1, 1)] * 3),
    ((7, 5, 4), (4, 4, 4), (2, 2, 2), 'SAME'),
    ((8, 5, 4), (2, 3, 3), (3, 1, 2), 'SAME'),
    ((6, 5), (3, 3), (1, 2), 'SAME'),
  ],
)


def arrays(grid, edges, key):
  """An image of 3 channels and a kernel to 2."""
  keys = jax.random.split(key)
  x = jax.random.normal(keys[0], (2, *grid, 3))
  return x, jax.random.normal(keys[1], (*edges, 3, 2))


def plain(x, kernel, strides, padding):
  """XLA's convolution."""
  numbers = conv_derivatives.dimension_numbers(x.ndim - 2)
  return jax.lax.conv_general_dilated(
    x, kernel, strides, padding, dimension_numbers=numbers
  )


@CASES
def test_it_is_the_convolution_and_its_derivatives(grid, edges, strides, padding, key):
  x, kernel = arrays(grid, edges, key)

  def slopes(convolve):
    def value(x, kernel):
      return jnp.sin(convolve(x, kernel, strides, padding)).sum()

    return jax.value_and_grad(value, (0, 1))(x, kernel)

  assert_close(slopes(conv_slices.convolve), slopes(plain))


@CASES
def test_the_image_derivative_is_the_transposed_convolution(
  grid, edges, strides, padding, key
):
  x, kernel = arrays(grid, edges, key)
  y, transpose = jax.vjp(lambda x: plain(x, kernel, strides, padding), x)
  g = jax.random.normal(key, y.shape)
  ours = conv_slices.image_derivative(kernel, g, grid, strides, padding)
  np.testing.assert_allclose(ours, transpose(g)[0], atol=1e-4)


def test_volumes_are_left_to_xla_elsewhere(monkeypatch, key):
  x, kernel = arrays((4, 4, 4), (3, 3, 3), key)
  counts = []
  for backend in ('cpu', 'gpu'):
    monkeypatch.setattr(jax, 'default_backend', lambda name=backend: name)
    jaxpr = jax.make_jaxpr(
      lambda x: conv_slices.convolve(x, kernel, (1, 1, 1), 'SAME')
    )(x)
    ranks = [
      e.invars[0].aval.ndim
      for e in jaxpr.eqns
      if e.primitive.name == 'conv_general_dilated'
    ]
    counts.append(ranks)
  assert counts == [[4], [5]]
